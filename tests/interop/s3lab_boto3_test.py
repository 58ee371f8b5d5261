#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""s3lab under two independent clients, boto3 and the AWS command line: objects, ranges, conditions, listings, odd keys, multipart
uploads, signatures, faults, shapes, statistics, a restart; and requests written by hand, for what those clients do not send."""
import base64
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

import boto3
import botocore.exceptions
from botocore.config import Config

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import ACCESS_KEY, S3LAB, S3Lab, SECRET_KEY, random_bytes  # noqa: E402

ODD_KEYS = ['a//b', '..', '../../etc/passwd', '/lead', 'trail/', 'nul\0key', 'k' * 1024, 'space and+plus', 'é/ü~', 'a%2Fb', 'q?x=1&y#z',
            'tab\there', 'quote"<&>\'', 'new\nline', '\u4e2d\u6587', '.', 'a/./b', '*()!$,;=@:']


class Lab(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.mkdtemp(prefix='s3lab-test-')
        cls.directory = os.path.join(cls.scratch, 's3')
        tree = os.path.join(cls.scratch, 'tree')
        os.makedirs(os.path.join(tree, 'deep/er'))
        with open(os.path.join(tree, 'deep/er/file'), 'wb') as file:
            file.write(random_bytes(9, 70_000))
        cls.server = S3Lab(cls.scratch, '--directory', cls.directory, '--import-tree', f'tree={tree}',
                           '--synthetic', 'million=count=1000000,size=3000,layout=nested:1000,prefix=data/,seed=7',
                           '--synthetic', 'huge=object=huge.bin,size=100G,seed=7')
        cls.s3 = cls.server.client
        cls.server.bucket('bucket')

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        shutil.rmtree(cls.scratch, ignore_errors=True)

    def setUp(self):
        self.server.control('DELETE', 'faults')
        self.server.control('POST', 'shape', {'latency_ms': 0, 'rate': 0, 'bandwidth': 0})

    def client(self, access_key=ACCESS_KEY, secret=SECRET_KEY, region='us-east-1', **config):
        return boto3.client('s3', endpoint_url=self.server.endpoint, aws_access_key_id=access_key, aws_secret_access_key=secret,
                            region_name=region, config=Config(s3={'addressing_style': 'path'}, retries={'max_attempts': 0}, **config))

    def refused(self, code, status, call, **arguments):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response['Error']['Code'], code)
        self.assertEqual(caught.exception.response['ResponseMetadata']['HTTPStatusCode'], status)
        return caught.exception.response

    def body(self, key, bucket='bucket', **more):
        return self.s3.get_object(Bucket=bucket, Key=key, **more)['Body'].read()


class Objects(Lab):
    def test_put_get_head_delete(self):
        for size in [0, 1, 110_000, 9_000_000]:
            body = random_bytes(size, size)
            answer = self.s3.put_object(Bucket='bucket', Key='put', Body=body, Metadata={'colour': 'blue'}, ContentType='image/jpeg')
            self.assertEqual(answer['ETag'], '"' + hashlib.md5(body).hexdigest() + '"')
            got = self.s3.get_object(Bucket='bucket', Key='put')
            self.assertEqual(got['Body'].read(), body)
            self.assertEqual((got['ETag'], got['ContentType'], got['Metadata']), (answer['ETag'], 'image/jpeg', {'colour': 'blue'}))
            self.assertEqual(self.s3.head_object(Bucket='bucket', Key='put')['ContentLength'], size)
        self.s3.delete_object(Bucket='bucket', Key='put')
        self.refused('NoSuchKey', 404, self.s3.get_object, Bucket='bucket', Key='put')
        self.refused('404', 404, self.s3.head_object, Bucket='bucket', Key='put')

    def test_ranges(self):
        body = random_bytes(1, 1000)
        self.s3.put_object(Bucket='bucket', Key='ranged', Body=body)
        for text, expected in [('0-0', body[:1]), ('10-19', body[10:20]), ('990-', body[990:]), ('-7', body[-7:]), ('995-5000', body[995:])]:
            answer = self.s3.get_object(Bucket='bucket', Key='ranged', Range='bytes=' + text)
            self.assertEqual(answer['Body'].read(), expected, text)
            self.assertEqual(answer['ResponseMetadata']['HTTPStatusCode'], 206)
            self.assertTrue(answer['ContentRange'].endswith('/1000'))
        self.refused('InvalidRange', 416, self.s3.get_object, Bucket='bucket', Key='ranged', Range='bytes=1000-')

    def test_conditions(self):
        etag = self.s3.put_object(Bucket='bucket', Key='if', Body=b'x')['ETag']
        self.assertEqual(self.body('if', IfMatch=etag), b'x')
        self.refused('PreconditionFailed', 412, self.s3.get_object, Bucket='bucket', Key='if', IfMatch='"other"')
        self.refused('304', 304, self.s3.get_object, Bucket='bucket', Key='if', IfNoneMatch=etag)
        self.assertEqual(self.body('if', IfNoneMatch='"other"'), b'x')

        def add(request, **_):
            request.headers['If-None-Match'] = '*'
        client = self.client()
        client.meta.events.register('before-sign.s3.PutObject', add)
        self.refused('PreconditionFailed', 412, client.put_object, Bucket='bucket', Key='if', Body=b'y')
        client.put_object(Bucket='bucket', Key='if-absent', Body=b'y')
        self.assertEqual(self.body('if'), b'x')

    def test_checksums(self):
        for name in ['CRC32', 'SHA1', 'SHA256']:
            put = self.s3.put_object(Bucket='bucket', Key='sum', Body=b'hello' * 1000, ChecksumAlgorithm=name)
            got = self.s3.get_object(Bucket='bucket', Key='sum', ChecksumMode='ENABLED')
            self.assertTrue(put['Checksum' + name])
            self.assertEqual(got['Checksum' + name], put['Checksum' + name])
            got['Body'].read()
        self.refused('BadDigest', 400, self.s3.put_object, Bucket='bucket', Key='sum', Body=b'x', ChecksumSHA256='A' * 43 + '=')

    def test_odd_keys_are_stored_listed_and_deleted(self):
        self.server.bucket('odd')
        for key in ODD_KEYS:
            self.s3.put_object(Bucket='odd', Key=key, Body=key.encode())
        listed = [entry['Key'] for page in self.s3.get_paginator('list_objects_v2').paginate(Bucket='odd', PaginationConfig={'PageSize': 3})
                  for entry in page['Contents']]
        self.assertEqual(listed, sorted(ODD_KEYS, key=str.encode))
        for key in ODD_KEYS:
            self.assertEqual(self.body(key, 'odd'), key.encode(), repr(key))
        without_nul = [key for key in ODD_KEYS if not set(key) & set('\0\n\t')]
        self.s3.delete_objects(Bucket='odd', Delete={'Objects': [{'Key': key} for key in without_nul]})
        self.refused('BucketNotEmpty', 409, self.s3.delete_bucket, Bucket='odd')
        for key in set(ODD_KEYS) - set(without_nul):
            self.s3.delete_object(Bucket='odd', Key=key)
        self.assertEqual(self.s3.list_objects_v2(Bucket='odd')['KeyCount'], 0)
        self.s3.delete_bucket(Bucket='odd')
        self.refused('NoSuchBucket', 404, self.s3.list_objects_v2, Bucket='odd')

    def test_copy(self):
        self.s3.put_object(Bucket='bucket', Key='from', Body=b'copied', Metadata={'a': 'b'})
        self.s3.copy_object(Bucket='bucket', Key='to', CopySource={'Bucket': 'bucket', 'Key': 'from'})
        self.assertEqual(self.body('to'), b'copied')
        self.assertEqual(self.s3.head_object(Bucket='bucket', Key='to')['Metadata'], {'a': 'b'})

    def test_multipart(self):
        parts = [random_bytes(1, 5 << 20), random_bytes(2, 5 << 20), b'last']
        upload = self.s3.create_multipart_upload(Bucket='bucket', Key='parts', Metadata={'m': '1'})['UploadId']
        where = {'Bucket': 'bucket', 'Key': 'parts', 'UploadId': upload}
        etags = [self.s3.upload_part(PartNumber=number, Body=body, **where)['ETag'] for number, body in enumerate(parts, 1)]
        listed = [{'PartNumber': number, 'ETag': etag} for number, etag in enumerate(etags, 1)]
        self.assertEqual([part['Size'] for part in self.s3.list_parts(**where)['Parts']], [len(part) for part in parts])
        self.refused('InvalidPartOrder', 400, self.s3.complete_multipart_upload, MultipartUpload={'Parts': listed[::-1]}, **where)
        self.refused('InvalidPart', 400, self.s3.complete_multipart_upload,
                     MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': '"0"'}]}, **where)
        done = self.s3.complete_multipart_upload(MultipartUpload={'Parts': listed}, **where)
        digest = hashlib.md5(b''.join(hashlib.md5(part).digest() for part in parts)).hexdigest()
        self.assertEqual(done['ETag'], f'"{digest}-3"')
        self.assertEqual(self.body('parts'), b''.join(parts))
        self.assertEqual(self.s3.head_object(Bucket='bucket', Key='parts')['Metadata'], {'m': '1'})
        self.refused('NoSuchUpload', 404, self.s3.abort_multipart_upload, **where)
        upload = self.s3.create_multipart_upload(Bucket='bucket', Key='small')['UploadId']
        where = {'Bucket': 'bucket', 'Key': 'small', 'UploadId': upload}
        small = [{'PartNumber': number, 'ETag': self.s3.upload_part(PartNumber=number, Body=b'x', **where)['ETag']} for number in (1, 2)]
        self.refused('EntityTooSmall', 400, self.s3.complete_multipart_upload, MultipartUpload={'Parts': small}, **where)
        self.s3.abort_multipart_upload(**where)
        self.assertNotIn('Uploads', self.s3.list_multipart_uploads(Bucket='bucket'))

    def test_the_aws_command_line(self):
        environment = {**os.environ, **self.server.environment, 'AWS_DEFAULT_REGION': 'us-east-1', 'AWS_CONFIG_FILE': '/nonexistent',
                       'AWS_SHARED_CREDENTIALS_FILE': '/nonexistent'}

        def aws(*arguments):
            return subprocess.run(['/usr/bin/aws', '--endpoint-url', self.server.endpoint, 's3', *arguments], env=environment, check=True,
                                  stdout=subprocess.PIPE, text=True).stdout
        path = os.path.join(self.scratch, 'big')
        body = random_bytes(3, 20 << 20)
        with open(path, 'wb') as file:
            file.write(body)
        aws('cp', '--only-show-errors', path, 's3://bucket/cli/big file')
        self.assertRegex(aws('ls', 's3://bucket/cli/'), r'20971520 big file')
        aws('cp', '--only-show-errors', 's3://bucket/cli/big file', path + '.back')
        with open(path + '.back', 'rb') as file:
            self.assertEqual(file.read(), body)

    def test_a_restart_serves_the_same(self):
        directory = os.path.join(self.scratch, 'again')
        for start in range(2):
            server = S3Lab(self.scratch, '--directory', directory)
            try:
                if start == 0:
                    server.bucket('kept')
                    server.put('kept', 'a//b', b'persistent', Metadata={'x': 'y'})
                got = server.client.get_object(Bucket='kept', Key='a//b')
                self.assertEqual((got['Body'].read(), got['Metadata']), (b'persistent', {'x': 'y'}))
            finally:
                server.process.terminate()
                self.assertEqual(server.process.wait(10), 0)


class Listings(Lab):
    def test_a_million_keys(self):
        first = self.s3.list_objects_v2(Bucket='million', MaxKeys=2)
        self.assertEqual([entry['Key'] for entry in first['Contents']], ['data/000/000000', 'data/000/000001'])
        folders = [entry['Prefix'] for page in self.s3.get_paginator('list_objects_v2').paginate(Bucket='million', Prefix='data/', Delimiter='/')
                   for entry in page.get('CommonPrefixes', [])]
        self.assertEqual(folders, [f'data/{number:03d}/' for number in range(1000)])
        last = self.s3.list_objects_v2(Bucket='million', StartAfter='data/999/999997')
        self.assertEqual([entry['Key'] for entry in last['Contents']], ['data/999/999998', 'data/999/999999'])
        self.assertFalse(last['IsTruncated'])
        self.refused('AccessDenied', 403, self.s3.put_object, Bucket='million', Key='x', Body=b'')

    def test_version_one_of_the_listing(self):
        for key in ['v1/a', 'v1/b/1', 'v1/b/2', 'v1/c']:
            self.s3.put_object(Bucket='bucket', Key=key, Body=b'')
        found = []
        for page in self.s3.get_paginator('list_objects').paginate(Bucket='bucket', Prefix='v1/', Delimiter='/', PaginationConfig={'PageSize': 1}):
            found += [entry['Key'] for entry in page.get('Contents', [])] + [entry['Prefix'] for entry in page.get('CommonPrefixes', [])]
        self.assertEqual(found, ['v1/a', 'v1/b/', 'v1/c'])

    def test_buckets(self):
        names = [bucket['Name'] for bucket in self.s3.list_buckets()['Buckets']]
        for name in ['bucket', 'million', 'huge', 'tree']:
            self.assertIn(name, names)
        self.s3.head_bucket(Bucket='bucket')
        self.refused('404', 404, self.s3.head_bucket, Bucket='absent')
        self.assertIsNone(self.s3.get_bucket_location(Bucket='bucket')['LocationConstraint'])
        self.refused('BucketAlreadyOwnedByYou', 409, self.s3.create_bucket, Bucket='bucket')
        self.refused('NotImplemented', 501, self.s3.get_bucket_acl, Bucket='bucket')

    def test_an_imported_tree(self):
        self.assertEqual([entry['Key'] for entry in self.s3.list_objects_v2(Bucket='tree')['Contents']], ['deep/er/file'])
        self.assertEqual(self.body('deep/er/file', 'tree'), random_bytes(9, 70_000))

    def test_synthetic_bytes_are_those_printed(self):
        for key, bucket, offset, length in [('data/123/123456', 'million', 0, 3000), ('huge.bin', 'huge', (1 << 20) - 10, 3 << 20),
                                            ('huge.bin', 'huge', (100 << 30) - 5000, 5000)]:
            printed = subprocess.run([S3LAB, '--print-synthetic', key, str(offset), str(length), '--seed', '7'], check=True,
                                     stdout=subprocess.PIPE).stdout
            self.assertEqual(self.body(key, bucket, Range=f'bytes={offset}-{offset + length - 1}'), printed)


class Refusals(Lab):
    def test_credentials(self):
        bucket = {'Bucket': 'bucket'}
        response = self.refused('SignatureDoesNotMatch', 403, self.client(secret='wrong').list_objects_v2, **bucket)
        self.assertNotIn(SECRET_KEY, json.dumps(response, default=str))
        self.refused('InvalidAccessKeyId', 403, self.client(access_key='AKIAOTHER').list_objects_v2, **bucket)
        elsewhere = self.client(region='eu-west-1')
        seen = []
        elsewhere.meta.events.register_first('needs-retry.s3', lambda response, **_: seen.append(response[1].get('Error')))
        self.assertIn('KeyCount', elsewhere.list_objects_v2(**bucket), 'botocore goes where the error says')
        self.assertEqual((seen[0]['Code'], seen[0]['Region']), ('AuthorizationHeaderMalformed', 'us-east-1'))
        url = self.s3.generate_presigned_url('get_object', Params={'Bucket': 'bucket', 'Key': 'x'})
        status, body = self.raw('GET', url[len(self.server.endpoint):])
        self.assertEqual(status, 400)
        self.assertIn(b'AuthorizationQueryParametersError', body)
        status, body = self.raw('GET', '/bucket')
        self.assertEqual((status, b'AccessDenied' in body), (403, True))

    def raw(self, method, path, body=None, headers={}, port=None):
        connection = http.client.HTTPConnection('127.0.0.1', port or int(self.server.endpoint.rsplit(':', 1)[1]), timeout=10)
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def test_chunked_bodies_with_trailers_and_expect(self):
        server = S3Lab(self.scratch, '--directory', os.path.join(self.scratch, 'unsigned'), sign=False)
        port = int(server.endpoint.rsplit(':', 1)[1])
        try:
            self.raw('PUT', '/chunks', b'', port=port)
            data = random_bytes(5, 100_000)
            crc = base64.b64encode(zlib.crc32(data).to_bytes(4, 'big')).decode()

            def chunks(trailer):
                middle = b''.join(b'%x\r\n%s\r\n' % (len(data[at:at + 33_333]), data[at:at + 33_333]) for at in range(0, len(data), 33_333))
                return middle + b'0\r\nx-amz-checksum-crc32:' + trailer.encode() + b'\r\n\r\n'
            headers = {'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': str(len(data)),
                       'x-amz-trailer': 'x-amz-checksum-crc32', 'content-encoding': 'aws-chunked'}
            self.assertEqual(self.raw('PUT', '/chunks/k', chunks(crc), headers, port)[0], 200)
            self.assertEqual(self.raw('GET', '/chunks/k', port=port), (200, data))
            status, body = self.raw('PUT', '/chunks/k', chunks('AAAAAA=='), headers, port)
            self.assertEqual((status, b'BadDigest' in body), (400, True))
            self.assertEqual(self.raw('PUT', '/chunks/k', iter([data[:7], data[7:]]), port=port)[0], 200)
            self.assertEqual(self.raw('GET', '/chunks/k', port=port), (200, data))
            with socket.create_connection(('127.0.0.1', port), timeout=10) as client:
                client.sendall(b'PUT /chunks/e HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
                self.assertTrue(client.recv(1000).startswith(b'HTTP/1.1 100 '))
                client.sendall(b'helloGET /chunks/e HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')
                answer = b''
                while piece := client.recv(65536):
                    answer += piece
                self.assertEqual(answer.count(b'HTTP/1.1 200 OK'), 2, 'the PUT and the request sent behind it')
                self.assertTrue(answer.endswith(b'\r\n\r\nhello'))
            with socket.create_connection(('127.0.0.1', port), timeout=10) as client:
                client.sendall(b'PUT /absent/e HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n')
                self.assertTrue(client.recv(1000).startswith(b'HTTP/1.1 404 '), 'refused before the body')
            with socket.create_connection(('127.0.0.1', port), timeout=10) as client:
                client.sendall(b'NONSENSE\r\n\r\n')
                self.assertTrue(client.recv(1000).startswith(b'HTTP/1.1 400 '))
        finally:
            server.close()


class Faults(Lab):
    BODY = random_bytes(77, 50_000)

    def setUp(self):
        super().setUp()
        self.s3.put_object(Bucket='bucket', Key='f', Body=self.BODY)

    def get(self, headers={}):
        """A GET over a bare socket, signed by botocore: what arrived until the connection ended or the answer was complete."""
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        request = AWSRequest('GET', self.server.endpoint + '/bucket/f', headers={'Connection': 'close', **headers})
        S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), 's3', 'us-east-1').add_auth(request)
        port = int(self.server.endpoint.rsplit(':', 1)[1])
        lines = ''.join(f'{name}: {value}\r\n' for name, value in {**dict(request.headers), 'Host': f'127.0.0.1:{port}'}.items())
        received, reset = b'', False
        with socket.create_connection(('127.0.0.1', port), timeout=10) as client:
            client.sendall(f'GET /bucket/f HTTP/1.1\r\n{lines}\r\n'.encode())
            try:
                while piece := client.recv(65536):
                    received += piece
            except ConnectionResetError:
                reset = True
        head, _, body = received.partition(b'\r\n\r\n')
        return head.decode(), body, reset

    def fault(self, action, headers={}):
        self.server.control('DELETE', 'faults')
        self.server.faults({'match': {'operation': 'GetObject', 'key': 'f'}, 'action': action})
        answer = self.get(headers)
        self.assertEqual([rule['fired'] for rule in self.server.control('GET', 'faults')['rules']], [1], action)
        self.assertEqual(self.get()[1], self.BODY, 'the fault is over')
        return answer

    def test_answers_that_are_errors(self):
        for action, status, code in [({'status': 503, 'code': 'SlowDown'}, 503, 'SlowDown'), ({'deny': True}, 403, 'AccessDenied'),
                                     ({'expired_token': True}, 400, 'ExpiredToken')]:
            head, body, _ = self.fault(action)
            self.assertTrue(head.startswith(f'HTTP/1.1 {status} '), head)
            self.assertIn(f'<Code>{code}</Code>'.encode(), body)

    def test_broken_connections(self):
        self.assertEqual(self.fault({'reset': True}), ('', b'', True))
        head, body, reset = self.fault({'reset_mid_body': 20_000})
        self.assertTrue(reset)
        self.assertLessEqual(len(body), 20_000)
        head, body, reset = self.fault({'short_body': 20_000})
        self.assertIn('Content-Length: 50000', head)
        self.assertEqual((body, reset), (self.BODY[:20_000], False))

    def test_bodies_that_lie(self):
        head, body, _ = self.fault({'short_body': {'bytes': 10, 'announce': True}})
        self.assertIn('Content-Length: 10', head)
        self.assertEqual(body, self.BODY[:10])
        head, body, _ = self.fault({'long_body': 7})
        self.assertIn('Content-Length: 50000', head)
        self.assertEqual(body, self.BODY + b'x' * 7)
        head, body, _ = self.fault({'flip_bits': 30_000})
        self.assertEqual([at for at in range(50_000) if body[at] != self.BODY[at]], [30_000])
        head, body, _ = self.fault({'wrong_content_range': True}, {'Range': 'bytes=100-199'})
        self.assertIn('Content-Range: bytes 101-200/', head)
        self.assertEqual(body, self.BODY[100:200])
        head, body, _ = self.fault({'ignore_range': True}, {'Range': 'bytes=100-199'})
        self.assertTrue(head.startswith('HTTP/1.1 200 '))
        self.assertEqual(body, self.BODY)

    def test_slowness(self):
        for action, least_s in [({'stall': {'bytes': 10, 'ms': 300}}, 0.3), ({'delay': 300}, 0.3), ({'trickle': 100_000}, 0.4)]:
            began = time.monotonic()
            self.assertEqual(self.fault(action)[1], self.BODY)
            self.assertGreaterEqual(time.monotonic() - began, least_s, action)
        self.server.control('POST', 'shape', {'latency_ms': 200, 'latency_sigma': 0, 'bandwidth': 250_000})
        began = time.monotonic()
        self.assertEqual(self.get()[1], self.BODY)
        self.assertGreaterEqual(time.monotonic() - began, 0.35)

    def test_a_lost_answer(self):
        self.server.faults({'match': {'operation': 'PutObject'}, 'action': {'reset': 'after'}})
        with self.assertRaises(botocore.exceptions.BotoCoreError):
            self.client().put_object(Bucket='bucket', Key='lost', Body=b'stored all the same')
        self.assertEqual(self.body('lost'), b'stored all the same')

    def test_the_rate_limit(self):
        self.server.control('POST', 'shape', {'rate': 2})
        codes = []
        for _ in range(6):
            try:
                self.client().head_object(Bucket='bucket', Key='f')
                codes.append(200)
            except botocore.exceptions.ClientError as error:
                codes.append(error.response['ResponseMetadata']['HTTPStatusCode'])
        self.assertIn(503, codes)
        self.assertIn(200, codes)

    def test_rules_that_are_wrong_are_refused(self):
        import urllib.error
        for rule in [{'action': {'explode': True}}, {'match': {'operation': 'Nonsense'}, 'action': {'deny': True}}]:
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.server.faults(rule)
            self.assertEqual(caught.exception.code, 400)

    def test_statistics(self):
        for key in ['s/1', 's/2', 't/1']:
            self.s3.put_object(Bucket='bucket', Key=key, Body=b'12345')
        self.server.control('POST', 'stats/reset')
        for key in ['s/1', 's/2', 's/2', 't/1']:
            self.body(key)
        self.refused('NoSuchKey', 404, self.s3.get_object, Bucket='bucket', Key='absent')
        counts = self.server.stats()['operations']['GetObject']
        self.assertEqual((counts['requests'], counts['errors']), (5, 1))
        self.assertEqual(self.server.stats()['operations']['PutObject']['requests'], 0)
        below = self.server.control('GET', 'stats?prefix=s/')
        self.assertEqual((below['keys'], below['gets'], below['gets_of_one_key_max'], below['bytes_out']), (2, 3, 2, 15))


if __name__ == '__main__':
    unittest.main(verbosity=2, warnings='ignore')
