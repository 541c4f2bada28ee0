"""One peer of `rudd-bench peers`, in a process of its own: loads the network that rudd wrote and runs it whenever it is told to.

    python3 -c THIS KIND FOLDER ARCH SIZE BATCH CLASSES THREADS        KIND: onnxruntime, openvino or torch

FOLDER holds model.onnx, model.safetensors, input.f32 [batch,3,size,size] and logits.f32 [batch,classes], rudd's own answer. On standard
output, a line each:

    ready NAME VERSION          loaded and warm; or
    missing REASON              a package is not there; or
    failed REASON               anything else that went wrong, at any time; the process ends
    MS [DIFFERENCE]             to each line `run` on standard input: milliseconds of one inference; the first time also the largest
                                difference of a logit from rudd's, divided by rudd's largest logit

Before each measured inference there is one that is not: caches and threads come back after somebody else's turn.
"""
import os
import sys
import time

# Only this program's lines may reach standard output; what libraries print goes the way of standard error.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def say(*words):
    answers.write(" ".join(" ".join(map(str, words)).split()) + "\n")


def onnxruntime_peer(folder, arch, shape, classes, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("N", shape[0])
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"])
    return "onnxruntime", onnxruntime.__version__, lambda x: session.run(None, {"input": x})[0]


def openvino_peer(folder, arch, shape, classes, threads):
    import openvino
    core = openvino.Core()
    model = core.read_model(os.path.join(folder, "model.onnx"))
    model.reshape(list(shape))
    request = core.compile_model(model, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()

    def run(x):
        request.infer([x], share_inputs=True, share_outputs=True)
        return request.get_output_tensor(0).data
    return "openvino", openvino.__version__.split("-")[0], run


def torch_peer(folder, arch, shape, classes, threads):
    import numpy
    import timm
    import torch
    torch.set_num_threads(threads)
    if not timm.is_model(arch):
        raise ImportError(f"timm does not know {arch}")
    weights = os.path.join(folder, "model.safetensors")
    model = timm.create_model(arch, num_classes=classes, checkpoint_path=weights).eval()
    example = torch.zeros(shape)
    with torch.inference_mode(False), torch.no_grad():
        if hasattr(torch, "compile"):
            import torch._inductor.config
            torch._inductor.config.freezing = True  # weights are constants: batch norm folds, weights are packed once
            name, run = "torch-compile", torch.compile(model)
        else:
            name, run = "torch-frozen", torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(model, example)))
        run(example)

    def infer(x):
        with torch.no_grad():
            return run(torch.from_numpy(x)).numpy()
    return name, torch.__version__, infer


def main():
    kind, folder, arch = sys.argv[1:4]
    size, batch, classes, threads = map(int, sys.argv[4:8])
    make = {"onnxruntime": onnxruntime_peer, "openvino": openvino_peer, "torch": torch_peer}[kind]
    shape = (batch, 3, size, size)
    try:
        import numpy
        name, version, run = make(folder, arch, shape, classes, threads)
    except ImportError as error:
        return say("missing", error)
    x = numpy.fromfile(os.path.join(folder, "input.f32"), numpy.float32).reshape(shape)
    expected = numpy.fromfile(os.path.join(folder, "logits.f32"), numpy.float32).reshape(batch, classes)
    found = run(x)
    if found.shape != expected.shape:
        raise ValueError(f"logits of shape {found.shape}, expected {expected.shape}")
    difference = float(numpy.abs(found - expected).max() / numpy.abs(expected).max())
    if not difference < 1e30:
        raise ValueError("logits are not finite")
    say("ready", name, version)
    first = True
    for line in sys.stdin:
        if line.strip() != "run":
            raise ValueError(f"told {line.strip()!r}, expected run")
        run(x)
        start = time.perf_counter()
        run(x)
        ms = (time.perf_counter() - start) * 1e3
        say(f"{ms:.4f}", *([f"{difference:.3e}"] if first else []))
        first = False


try:
    main()
except Exception as error:  # every fault becomes a line that rudd-bench can show
    say("failed", type(error).__name__ + ":", error)
