"""Times forward and backward passes of one of the two models in PyTorch, one thread, a turn per line read:
`python3 pytorch-step.py cnn|mlp BATCH gradients|step`. `step` adds plain SGD. Prints a JSON list of milliseconds."""

import json
import sys
import time

import torch
from torch import nn

model_name, batch_rows, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
steps_per_turn = 5
torch.set_num_threads(1)
torch.manual_seed(1)


def mlp():
    hidden = [nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(100, 10))


def cnn():
    features = [
        nn.Conv2d(1, 32, 3, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
    head = [nn.Flatten(), nn.Dropout(0.25), nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(*features, *head)


model = mlp() if model_name == "mlp" else cnn()
optimizer = torch.optim.SGD(model.parameters(), 0.01)
loss_of = nn.CrossEntropyLoss()
pixels = torch.rand(batch_rows, 1, 28, 28)
labels = torch.randint(0, 10, (batch_rows,))


def step():
    # The cheapest form that PyTorch has: gradients are new tensors, not added to zeros.
    optimizer.zero_grad(set_to_none=True)
    loss_of(model(pixels), labels).backward()
    if mode == "step":
        optimizer.step()


print(json.dumps({"version": torch.__version__}), flush=True)
for _ in sys.stdin:
    times = []
    for index in range(-1, steps_per_turn):
        start = time.perf_counter()
        step()
        if index >= 0:
            times.append(1000 * (time.perf_counter() - start))
    print(json.dumps(times), flush=True)
