#!/usr/bin/env python3
"""The yardstick: PyTorch + timm fine-tune EfficientNetV2-B0 with the recipe that `rudd train` is measured against.

Recipe: AdamW 3e-4 (head 3e-3), weight decay 0.02 (none on norms and biases), random resized crop 0.5-1, horizontal flip, colour
jitter 0.2, label smoothing 0.1, cosine to 0 per step, 8 epochs, batch 16, squash resize (bicubic) to 224, seed 0.

    tests/parity/peers.sh run bench/train_torch_fish15.py --data DIR --weights FILE      one whole run: time, accuracy
    tests/parity/peers.sh run bench/train_torch_fish15.py --steps 10                     compute only: ms per image of a step
    tests/parity/peers.sh run bench/train_torch_fish15.py --infer --arch torchvision_b4 --size 380 --batch 1 --steps 20

Times are wall-clock milliseconds; the median and the minimum over the steps are printed, after three steps of warm-up.
"""
import argparse
import json
import os
import time

import torch
import torch.nn.functional as F


def build(arch, classes, weights):
    """A timm model, or torchvision's B4 (the same network under other names)."""
    if arch.startswith("torchvision_"):
        import torchvision
        return getattr(torchvision.models, "efficientnet_" + arch.split("_")[1])(num_classes=classes)
    import timm
    model = timm.create_model(arch, num_classes=classes)
    model.get_classifier().reset_parameters()  # U(+-1/sqrt(inputs)), PyTorch's own and rudd's: timm's 1/sqrt(classes) costs some five points
    if weights:
        from safetensors.torch import load_file
        have, want = load_file(weights), model.state_dict()
        model.load_state_dict({k: v for k, v in have.items() if v.shape == want[k].shape}, strict=False)
    return model


def head_names(model):
    return {id(p) for p in model.get_classifier().parameters()} if hasattr(model, "get_classifier") else \
           {id(p) for p in model.classifier.parameters()}


def optimiser(model, args):
    """Four groups: backbone or head, decayed (matrices, filters) or not (vectors)."""
    head = head_names(model)
    groups = []
    for is_head in (False, True):
        for is_matrix in (False, True):
            groups.append({"params": [p for p in model.parameters() if (id(p) in head) == is_head and (p.ndim > 1) == is_matrix],
                           "lr": args.head_lr if is_head else args.lr, "weight_decay": args.weight_decay if is_matrix else 0.0})
    return torch.optim.AdamW(groups)


def report(kind, times, batch, **more):
    times = sorted(times)
    print(json.dumps({"kind": kind, "threads": torch.get_num_threads(), "batch": batch, "median_ms": round(times[len(times) // 2], 2),
                      "min_ms": round(times[0], 2), "ms_per_image": round(times[len(times) // 2] / batch, 2),
                      "min_ms_per_image": round(times[0] / batch, 2), **more}), flush=True)


def time_steps(model, args):
    """Compute only, on random numbers: no decoding, no augmentation."""
    x = torch.randn(args.batch, 3, args.size, args.size)
    y = torch.randint(0, args.classes, (args.batch,))
    times = []
    if args.infer:
        model.eval()
        with torch.inference_mode():
            for step in range(args.steps + 3):
                t = time.perf_counter()
                model(x)
                times.append((time.perf_counter() - t) * 1e3)
        report("infer", times[3:], args.batch, arch=args.arch, size=args.size)
        return
    model.train()
    opt = optimiser(model, args)
    for step in range(args.steps + 3):
        t = time.perf_counter()
        opt.zero_grad()
        F.cross_entropy(model(x), y, label_smoothing=args.smoothing).backward()
        opt.step()
        times.append((time.perf_counter() - t) * 1e3)
    report("train", times[3:], args.batch, arch=args.arch, size=args.size)


def loaders(args):
    from torchvision import datasets, transforms as T
    norm = [T.ToTensor(), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    squash = T.Compose([T.Resize((args.size, args.size), T.InterpolationMode.BICUBIC)] + norm)
    augment = T.Compose([T.RandomResizedCrop(args.size, scale=(0.5, 1.0), interpolation=T.InterpolationMode.BICUBIC),
                         T.RandomHorizontalFlip(), T.ColorJitter(0.2, 0.2, 0.2)] + norm)
    def loader(split, transform, shuffle):
        return torch.utils.data.DataLoader(datasets.ImageFolder(os.path.join(args.data, split), transform), args.batch,
                                           shuffle=shuffle, drop_last=shuffle, num_workers=args.workers)
    return loader("train", augment, True), loader("val", squash, False), loader("test", squash, False)


def evaluate(model, loader, classes):
    """top-1, top-3, macro-F1 and cross-entropy over a loader."""
    model.eval()
    logits, labels = [], []
    with torch.inference_mode():
        for x, y in loader:
            logits.append(model(x))
            labels.append(y)
    logits, labels = torch.cat(logits), torch.cat(labels)
    best = logits.argmax(1)
    f1 = []
    for c in range(classes):
        tp = int(((best == c) & (labels == c)).sum())
        wrong = int(((best == c) != (labels == c)).sum())
        f1.append(2 * tp / (2 * tp + wrong) if tp else 0.0)
    return {"top1": round(float((best == labels).float().mean()), 4),
            "top3": round(float((logits.topk(3).indices == labels[:, None]).any(1).float().mean()), 4),
            "macro_f1": round(sum(f1) / classes, 4), "loss": round(float(F.cross_entropy(logits, labels)), 4)}


def train(args):
    train_set, val, test = loaders(args)
    classes = len(train_set.dataset.classes)
    model = build(args.arch, classes, args.weights)
    opt = optimiser(model, args)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, args.epochs * len(train_set))
    start, best, state, compute, images = time.time(), -1.0, None, 0.0, 0
    for epoch in range(args.epochs):
        model.train()
        begin = time.time()
        for x, y in train_set:
            t = time.perf_counter()
            opt.zero_grad()
            F.cross_entropy(model(x), y, label_smoothing=args.smoothing).backward()
            opt.step()
            schedule.step()
            compute, images = compute + time.perf_counter() - t, images + len(y)
        scores = evaluate(model, val, classes)
        print(json.dumps({"epoch": epoch + 1, "seconds": round(time.time() - begin, 1),
                          "ms_per_image": round(compute / images * 1e3, 2), **{"val_" + k: v for k, v in scores.items()}}), flush=True)
        if scores["top1"] > best:
            best, state = scores["top1"], {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    print(json.dumps({"test": evaluate(model, test, classes), "seconds": round(time.time() - start, 1),
                      "ms_per_image": round(compute / images * 1e3, 2)}))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", help="folder with train/ val/ test/")
    p.add_argument("--weights", help="pretrained timm safetensors")
    p.add_argument("--arch", default="tf_efficientnetv2_b0")
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--lr", type=float, default=3e-4)
    p.add_argument("--head-lr", type=float, default=3e-3)
    p.add_argument("--weight-decay", type=float, default=0.02)
    p.add_argument("--smoothing", type=float, default=0.1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=os.cpu_count())
    p.add_argument("--workers", type=int, default=0, help="loader processes")
    p.add_argument("--classes", type=int, default=15, help="with --steps")
    p.add_argument("--steps", type=int, help="time this many steps on random numbers and stop")
    p.add_argument("--infer", action="store_true", help="with --steps: forward only, evaluation mode")
    args = p.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    if args.steps:
        time_steps(build(args.arch, args.classes, None), args)
    elif args.data:
        train(args)
    else:
        p.error("--data or --steps")


main()
