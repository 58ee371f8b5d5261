// SPDX-License-Identifier: Apache-2.0
// The style sheet and the script of a tuning job's page. Classes of charts: ok, st, fa and ru are outcomes; s0 to s8
// shades of the objective, cut from viridis (van der Walt and Smith, 2015) so that the best stand out from the
// background; outcomes take the colours that Okabe and Ito (2008) found fit for all eyes.
#pragma once

#include <string_view>

namespace leat::tuner {

inline constexpr std::string_view kReportStyle = R"css(
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#1b2129;--soft:#59636f;--line:#dfe3e8;--grid:#e9ecf0;--accent:#0063a6;
--ok:#0072b2;--st:#707a86;--fa:#c2410c;--ru:#b7791f;
--s0:#bddf26;--s1:#7ad151;--s2:#44bf70;--s3:#22a884;--s4:#21918c;--s5:#2a788e;--s6:#355f8d;--s7:#414487;--s8:#440154}
@media (prefers-color-scheme:dark){:root{--page:#101317;--card:#181c22;--ink:#e6e9ed;--soft:#9aa5b1;--line:#2c333c;--grid:#262c34;--accent:#6cb6ea;
--ok:#56b4e9;--st:#7d8792;--fa:#f0803c;--ru:#e6b450;
--s0:#46347f;--s1:#414d8b;--s2:#35628d;--s3:#2a788e;--s4:#21918c;--s5:#2fb47c;--s6:#7ad151;--s7:#bddf26;--s8:#fde725}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1360px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:26px;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:19px;margin:36px 0 12px}
h3{font-size:15px;margin:0}
h4{font-size:13px;margin:0 0 2px;overflow-wrap:anywhere}
p{margin:0}
a{color:var(--accent)}
.about{color:var(--soft);margin:4px 0 0}
.status{display:inline-block;font-size:13px;font-weight:600;border:1px solid currentColor;border-radius:99px;padding:1px 10px;margin-left:8px;
vertical-align:4px;white-space:nowrap}
.status.Completed{color:var(--ok)}.status.Failed{color:var(--fa)}.status.InProgress{color:var(--ru)}
.status.Stopped,.status.Stopping{color:var(--soft)}
.notes{margin:14px 0 0;padding:10px 14px;border-left:3px solid var(--ru);background:var(--card);list-style:none}
.notes li{overflow-wrap:anywhere}
.head{display:grid;grid-template-columns:minmax(0,1fr);gap:16px;margin-top:20px}
.card,figure{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:16px;margin:0;min-width:0}
.big{font-size:30px;font-weight:650;line-height:1.2;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.soft{color:var(--soft);font-size:13px;overflow-wrap:anywhere}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:8px 16px;margin:12px 0 0}
.pairs div{min-width:0}
dt{color:var(--soft);font-size:12px;overflow-wrap:anywhere}
dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:minmax(0,1fr);gap:16px;margin-top:16px}
figcaption p{color:var(--soft);font-size:13px;overflow-wrap:anywhere}
.plot{margin-top:10px}
.plot>svg{display:block;overflow:visible}
.scroll{overflow-x:auto}
.slices{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:18px 20px;margin-top:12px}
.slice{min-width:0}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;margin:10px 0 0;padding:0;list-style:none;color:var(--soft);font-size:12px}
.legend svg{vertical-align:-1px;margin-right:5px}
svg text{font-size:11px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg .e{text-anchor:end}
svg .m{text-anchor:middle}
svg .i{font-size:13px;fill:var(--ink)}
svg .n{text-anchor:middle;font-size:12px;font-weight:600;fill:var(--ink)}
svg .n.r{text-anchor:end}
svg .n.f{text-anchor:start}
svg .k{fill:var(--ink);paint-order:stroke;stroke:var(--card);stroke-width:3.5px;stroke-linejoin:round}
.g{stroke:var(--grid)}
.a{stroke:var(--soft)}
.band{fill:var(--grid);opacity:.55}
.best{fill:none;stroke:var(--ink);stroke-width:2;vector-effect:non-scaling-stroke}
.bestdot{fill:none;stroke:var(--ink);stroke-width:2}
.ok{--c:var(--ok)}.st{--c:var(--st)}.fa{--c:var(--fa)}.ru{--c:var(--ru)}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}
.s4{--c:var(--s4)}.s5{--c:var(--s5)}.s6{--c:var(--s6)}.s7{--c:var(--s7)}.s8{--c:var(--s8)}
rect[class^=s]{fill:var(--c)}
.o{fill:var(--c);stroke:var(--card);stroke-width:.75}
.st .o,.ru .o{fill:var(--card);stroke:var(--c);stroke-width:1.75}
.ru .o{stroke-dasharray:2.5 1.5}
.x{fill:none;stroke:var(--c);stroke-width:2}
.l{fill:none;stroke:var(--c);stroke-width:1.25;stroke-opacity:.6;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.l.ok{stroke-opacity:.4}
.l.s8,.l.s7{stroke-opacity:.9}
.l.s8{stroke-width:1.75}
.l.fa{stroke-dasharray:4 3}
.l.ru{stroke-opacity:1;stroke-width:1.75;stroke-dasharray:7 3}
.l.top{stroke:var(--ink);stroke-width:2.25;stroke-opacity:1}
.d{fill:none;stroke:var(--c);stroke-width:6;stroke-linecap:round;stroke-opacity:.7;vector-effect:non-scaling-stroke}
.d.st{stroke-width:5}
.d.fa{stroke-linecap:square;stroke-width:4.5;stroke-opacity:1}
.legend .l{stroke-opacity:1}
.many .plot .l{stroke-width:.9;stroke-opacity:.3}
.many .plot .l.st{stroke-opacity:.6}
.many .plot .l.top,.many .plot .l.ru{stroke-width:2.25;stroke-opacity:1}
.many .plot .l.on{stroke-width:3.5;stroke-opacity:1}
.many .plot .d{stroke-width:4.5;stroke-opacity:.5}
.many .plot .d.fa{stroke-opacity:1}
.t{fill:var(--grid)}
.b{fill:var(--ok)}
.bar rect{fill:var(--c)}
.bar .w{opacity:.35}
.bar.st rect{fill:var(--st)}
a:hover .o,a:focus .o,.l:hover{stroke:var(--ink);stroke-width:3;stroke-opacity:1}
.bar:hover rect,.bar:focus rect{fill:var(--ink)}
.on .o{stroke:var(--ink);stroke-width:3}
.l.on{stroke:var(--ink);stroke-width:3.5;stroke-opacity:1;stroke-dasharray:none}
.bar.on rect{fill:var(--ink)}
.table{overflow:auto;max-height:80vh;background:var(--card);border:1px solid var(--line);border-radius:8px}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 12px;border-bottom:1px solid var(--grid);white-space:nowrap;vertical-align:top}
th{position:sticky;top:0;background:var(--card);border-bottom-color:var(--line);z-index:1}
th button{all:unset;cursor:pointer;font-weight:600}
th button:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
th[aria-sort=ascending] button::after{content:" \2191"}
th[aria-sort=descending] button::after{content:" \2193"}
td.v,th.v{text-align:right}
td.why{white-space:normal;min-width:330px}
tr:target td,tr:hover td{background:var(--page)}
tr.top td{font-weight:650}
tr.fa .s,tr.st .s,tr.ok .s,tr.ru .s{color:var(--c)}
footer{color:var(--soft);font-size:12px;margin-top:28px}
@media (min-width:900px){.head{grid-template-columns:minmax(0,3fr) minmax(0,2fr)}
.charts{grid-template-columns:repeat(2,minmax(0,1fr))}.charts.of{grid-template-columns:minmax(0,2fr) minmax(0,1fr)}.full{grid-column:1/-1}}
@media (max-width:600px){main{padding:16px 10px 32px}.card,figure{padding:12px}h1{font-size:22px}}
@media print{.table{max-height:none;overflow:visible}}
)css";

// Without it the page lacks sorting and pointing only.
inline constexpr std::string_view kReportScript = R"js(
(function(){
var table=document.querySelector('table'),body=table&&table.tBodies[0];
if(!table)return;
Array.prototype.forEach.call(table.tHead.rows[0].cells,function(head,column){
 var button=document.createElement('button');
 button.type='button';
 while(head.firstChild)button.appendChild(head.firstChild);
 head.appendChild(button);
 button.addEventListener('click',function(){
  var up=head.getAttribute('aria-sort')!=='ascending';
  Array.prototype.forEach.call(head.parentNode.cells,function(other){other.removeAttribute('aria-sort')});
  head.setAttribute('aria-sort',up?'ascending':'descending');
  var rows=Array.prototype.map.call(body.rows,function(row){
   var cell=row.cells[column],text=cell.textContent,given=cell.getAttribute('data-v');
   return{row:row,text:text,none:text===''||text==='NaN',number:given!==null?+given:+text}});
  var all=rows.every(function(one){return one.none||!isNaN(one.number)});
  rows.sort(function(a,b){
   if(a.none!==b.none)return a.none?1:-1;
   var order=all?a.number-b.number:a.text<b.text?-1:a.text>b.text?1:0;
   return up?order:-order});
  rows.forEach(function(one){body.appendChild(one.row)});
 });
});
var shown=[];
function point(number){
 shown.forEach(function(one){one.classList.remove('on')});
 shown=number?Array.prototype.slice.call(document.querySelectorAll('[data-n="'+number+'"],a[href="#t'+number+'"]')):[];
 shown.forEach(function(one){one.classList.add('on')});
}
function numberOf(target){
 var one=target.closest&&target.closest('tr[id],[data-n],a[href^="#t"]');
 return one?one.getAttribute('data-n')||(one.id||one.getAttribute('href')).replace(/\D/g,''):''}
document.addEventListener('mouseover',function(event){point(numberOf(event.target))});
document.addEventListener('focusin',function(event){point(numberOf(event.target))});
})();
)js";

}  // namespace leat::tuner
