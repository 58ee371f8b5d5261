#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a small convolutional network on a folder of JPEG files: a plain SageMaker script-mode script.

It knows nothing of Leat: it reads the directory that SM_CHANNEL_TRAINING names and writes its model to SM_MODEL_DIR. It
runs alone, too:  SM_CHANNEL_TRAINING=data SM_MODEL_DIR=. python3 train.py --epochs 2
"""
import argparse
import json
import os
import time

PROCESS_START = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + \
    int(open('/proc/self/stat').read().rsplit(')', 1)[1].split()[19]) / os.sysconf('SC_CLK_TCK')

import torch  # noqa: E402  (the clock above must start first)
from torch import nn  # noqa: E402
from PIL import Image  # noqa: E402


class ImageFolder(torch.utils.data.Dataset):
    """root/<class>/<file>.jpg; classes in sorted order."""

    def __init__(self, root, size, augmentation):
        self.classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        self.samples = []
        for label, name in enumerate(self.classes):
            files = sorted(entry.name for entry in os.scandir(os.path.join(root, name)))
            self.samples += [(os.path.join(root, name, file), label) for file in files if file.endswith('.jpg')]
        if not self.samples:
            raise SystemExit(f'no .jpg files below {root}')
        self.size = size
        self.augmentation = augmentation

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[index]
        with open(path, 'rb') as file:
            image = Image.open(file).convert('RGB').resize((self.size, self.size))
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(self.size, self.size, 3).permute(2, 0, 1).float() / 255 - 0.5
        return self.augment(pixels), label

    def augment(self, pixels):
        if self.augmentation in ('flip', 'full'):
            turns = int(torch.randint(4, (1,)))
            pixels = torch.rot90(pixels, turns, (1, 2))
            if torch.rand(1) < 0.5:
                pixels = pixels.flip(2)
        if self.augmentation == 'crop':
            margin = self.size // 8
            wide = nn.functional.pad(pixels, (margin,) * 4, mode='reflect')
            top, left = (int(value) for value in torch.randint(2 * margin + 1, (2,)))
            pixels = wide[:, top:top + self.size, left:left + self.size]
        if self.augmentation in ('color', 'full'):
            pixels = pixels[torch.randperm(3)] + 0.05 * torch.randn_like(pixels)
        return pixels


def train_sampler(dataset, seed):
    """The order of each epoch, from the seed alone: write_plan.py tells it before the job starts."""
    return torch.utils.data.RandomSampler(dataset, generator=torch.Generator().manual_seed(seed))


def make_model(width, classes):
    def block(inputs, outputs):
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*block(3, width), *block(width, width * 2), *block(width * 2, width * 4),
                         nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(width * 16, classes))


def accuracy(model, loader):
    model.eval()
    right = total = 0
    with torch.no_grad():
        for images, labels in loader:
            right += int((model(images).argmax(1) == labels).sum())
            total += len(labels)
    return right / total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--epochs', type=int, default=2)
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--learning-rate', type=float, default=0.003)
    parser.add_argument('--augmentation', choices=['none', 'flip', 'crop', 'color', 'full'], default='flip')
    parser.add_argument('--width', type=int, default=12)
    parser.add_argument('--image-size', type=int, default=32)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--model-dir', default=os.environ.get('SM_MODEL_DIR', '.'))
    parser.add_argument('--training', default=os.environ.get('SM_CHANNEL_TRAINING'))
    arguments, unknown = parser.parse_known_args()
    if unknown:
        print('ignored arguments:', ' '.join(unknown))
    if not arguments.training:
        parser.error('name the data: --training DIRECTORY, or SM_CHANNEL_TRAINING')

    torch.manual_seed(arguments.seed)
    train = ImageFolder(os.path.join(arguments.training, 'train'), arguments.image_size, arguments.augmentation)
    validation = ImageFolder(os.path.join(arguments.training, 'validation'), arguments.image_size, 'none')
    loader_options = {'batch_size': arguments.batch_size, 'num_workers': arguments.workers}
    train_loader = torch.utils.data.DataLoader(train, sampler=train_sampler(train, arguments.seed), **loader_options)
    validation_loader = torch.utils.data.DataLoader(validation, **loader_options)
    model = make_model(arguments.width, len(train.classes))
    optimiser = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate)
    print(f'{len(train)} training and {len(validation)} validation images, {len(train.classes)} classes', flush=True)

    first_batch = True
    value = 0.0
    for epoch in range(1, arguments.epochs + 1):
        began, loss_sum, seen = time.time(), 0.0, 0
        model.train()
        for images, labels in train_loader:
            if first_batch:
                print(f'first_batch_seconds={time.time() - PROCESS_START:.3f}', flush=True)
                first_batch = False
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimiser.step()
            loss_sum += float(loss) * len(labels)
            seen += len(labels)
        value = accuracy(model, validation_loader)
        print(f'epoch={epoch} train_loss={loss_sum / seen:.6f} val_accuracy={value:.6f} '
              f'epoch_seconds={time.time() - began:.2f}', flush=True)

    torch.save(model.state_dict(), os.path.join(arguments.model_dir, 'model.pt'))
    with open(os.path.join(arguments.model_dir, 'classes.json'), 'w') as file:
        json.dump(train.classes, file)


if __name__ == '__main__':
    main()
