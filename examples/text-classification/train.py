#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains one of three small text classifiers on a folder of .txt files: a plain SageMaker script-mode script.

It knows nothing of Leat: it reads the directories that SM_CHANNEL_TRAIN and SM_CHANNEL_VALIDATION name and writes its model
to SM_MODEL_DIR. It runs alone, too:  python3 train.py --train texts/train --validation texts/validation
"""
import argparse
import json
import os
import re
import time
import zlib

PROCESS_START = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + \
    int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[19]) / os.sysconf('SC_CLK_TCK')

import torch  # noqa: E402  (the clock above must start first)
from torch import nn  # noqa: E402

WORDS_MAX = 40      # of a text; the rest is cut
BUCKETS = 4096      # a word is its hash: no pass over the data for a vocabulary before the first batch
PADDING = 0


class TextFolder(torch.utils.data.Dataset):
    """root/<class>/<file>.txt; classes in sorted order. A file is read whenever it is asked for, as images are."""

    def __init__(self, root):
        self.classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        self.samples = []
        for label, name in enumerate(self.classes):
            files = sorted(entry.name for entry in os.scandir(os.path.join(root, name)))
            self.samples += [(os.path.join(root, name, file), label) for file in files if file.endswith('.txt')]
        if not self.samples:
            raise SystemExit(f'no .txt files below {root}')

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[index]
        with open(path, encoding='utf-8') as file:
            words = re.findall(r'\w+', file.read().lower())[:WORDS_MAX]
        numbers = [1 + zlib.crc32(word.encode()) % (BUCKETS - 1) for word in words]
        # Padding stands before the text, so that the last step of a recurrent network is the last word.
        return torch.tensor([PADDING] * (WORDS_MAX - len(numbers)) + numbers), label


class Bag(nn.Module):
    """The mean of the words' vectors: no order at all."""

    def __init__(self, width, classes):
        super().__init__()
        self.embedding = nn.EmbeddingBag(BUCKETS, width, mode='mean', padding_idx=PADDING)
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, words):
        return self.head(self.embedding(words))


class Convolution(nn.Module):
    """The strongest answer of each filter over three neighbours: order nearby, not far apart."""

    def __init__(self, width, classes):
        super().__init__()
        self.embedding = nn.Embedding(BUCKETS, width, padding_idx=PADDING)
        self.convolution = nn.Conv1d(width, width * 2, 3, padding=1)
        self.head = nn.Linear(width * 2, classes)

    def forward(self, words):
        features = torch.relu(self.convolution(self.embedding(words).transpose(1, 2)))
        return self.head(features.amax(2))


class Recurrent(nn.Module):
    """A gated recurrent unit's state after the last word: all of the order."""

    def __init__(self, width, classes):
        super().__init__()
        self.embedding = nn.Embedding(BUCKETS, width, padding_idx=PADDING)
        self.recurrent = nn.GRU(width, width * 2, batch_first=True)
        self.head = nn.Linear(width * 2, classes)

    def forward(self, words):
        return self.head(self.recurrent(self.embedding(words))[1][-1])


ARCHITECTURES = {'bag': Bag, 'cnn': Convolution, 'gru': Recurrent}


def accuracy(model, loader):
    model.eval()
    right = total = 0
    with torch.no_grad():
        for words, labels in loader:
            right += int((model(words).argmax(1) == labels).sum())
            total += len(labels)
    return right / total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--architecture', choices=sorted(ARCHITECTURES), default='gru')
    parser.add_argument('--epochs', type=int, default=6)
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--learning-rate', type=float, default=0.003)
    parser.add_argument('--width', type=int, default=32)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--model-dir', default=os.environ.get('SM_MODEL_DIR', '.'))
    parser.add_argument('--train', default=os.environ.get('SM_CHANNEL_TRAIN'))
    parser.add_argument('--validation', default=os.environ.get('SM_CHANNEL_VALIDATION'))
    arguments, unknown = parser.parse_known_args()
    if unknown:
        print('ignored arguments:', ' '.join(unknown))
    if not arguments.train or not arguments.validation:
        parser.error('name the data: --train and --validation DIRECTORY, or SM_CHANNEL_TRAIN and SM_CHANNEL_VALIDATION')

    torch.manual_seed(arguments.seed)
    train, validation = TextFolder(arguments.train), TextFolder(arguments.validation)
    loader_options = {'batch_size': arguments.batch_size, 'num_workers': arguments.workers}
    train_loader = torch.utils.data.DataLoader(train, shuffle=True, generator=torch.Generator().manual_seed(arguments.seed),
                                               **loader_options)
    validation_loader = torch.utils.data.DataLoader(validation, **loader_options)
    model = ARCHITECTURES[arguments.architecture](arguments.width, len(train.classes))
    optimiser = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate)
    print(f'{len(train)} training and {len(validation)} validation texts, {len(train.classes)} classes', flush=True)

    first_batch = True
    for epoch in range(1, arguments.epochs + 1):
        began, loss_sum, seen = time.time(), 0.0, 0
        model.train()
        for words, labels in train_loader:
            if first_batch:
                print(f'first_batch_seconds={time.time() - PROCESS_START:.3f}', flush=True)
                first_batch = False
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(words), labels)
            loss.backward()
            optimiser.step()
            loss_sum += float(loss) * len(labels)
            seen += len(labels)
        print(f'epoch={epoch} train_loss={loss_sum / seen:.6f} val_accuracy={accuracy(model, validation_loader):.6f} '
              f'epoch_seconds={time.time() - began:.2f}', flush=True)

    torch.save(model.state_dict(), os.path.join(arguments.model_dir, 'model.pt'))
    with open(os.path.join(arguments.model_dir, 'classes.json'), 'w') as file:
        json.dump(train.classes, file)


if __name__ == '__main__':
    main()
