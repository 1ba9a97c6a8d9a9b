# SPDX-License-Identifier: Apache-2.0
"""PyTorch's side of the comparison: the loop over experts that one writes with it.

Started by the benchmark, which writes commands and raw numbers to standard input and reads answers
from standard output. For every expert: gather its tokens, two linear maps with the activation in
between, add the weighted rows to the tokens' outputs. Assignments are sorted by expert once a call.
With bf16, weights and activations of the products are bfloat16 and y is summed in float. Gradients
of the weights are none before each backward, as after optimizer.zero_grad().
"""

import ctypes
import sys
import time


def main():
    try:
        import torch
    except Exception as problem:  # a broken installation raises more than ImportError
        print("absent", type(problem).__name__, flush=True)
        return
    print("ready", torch.__version__, flush=True)
    Server(torch).run()


class Server:
    def __init__(self, torch):
        self.torch = torch
        self.functional = torch.nn.functional
        self.source = sys.stdin.buffer
        self.sink = sys.stdout.buffer

    # --- numbers in and out ----------------------------------------------------------------------

    def receive(self, *shape, dtype=None):
        tensor = self.torch.empty(shape, dtype=dtype or self.torch.float32)
        size = tensor.numel() * tensor.element_size()
        if size > 0:
            view = memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())).cast("B")
            done = 0
            while done < size:
                count = self.source.readinto(view[done:])
                if not count:
                    sys.exit(0)
                done += count
        return tensor

    def send(self, tensor):
        tensor = tensor.detach().float().contiguous()
        size = tensor.numel() * 4
        if size > 0:
            self.sink.write(memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())))
        self.sink.flush()

    def answer(self, *words):
        self.sink.write((" ".join(str(word) for word in words) + "\n").encode())
        self.sink.flush()

    # --- commands --------------------------------------------------------------------------------

    def run(self):
        for line in iter(self.source.readline, b""):
            words = line.decode().split()
            arguments = [int(word) for word in words[1:]]
            getattr(self, "do_" + words[0])(*arguments)

    def do_bank(self, experts, up_rows, width, hidden, gated, narrow, threads):
        torch = self.torch
        torch.set_num_threads(threads)
        self.gated = bool(gated)
        self.dtype = torch.bfloat16 if narrow else torch.float32
        self.up = self.receive_experts(experts, up_rows, width)
        self.down = self.receive_experts(experts, width, hidden)
        self.answer("ok")

    def do_drop(self):
        self.up = self.down = self.problem = self.recorded = self.x = self.dy = None
        self.answer("ok")

    def receive_experts(self, experts, rows, columns):
        return [
            self.receive(rows, columns).to(self.dtype).requires_grad_() for _ in range(experts)
        ]

    def do_problem(self, tokens, width, calls):
        torch = self.torch
        self.x = self.receive(tokens, width).requires_grad_()
        self.dy = self.receive(tokens, width)
        self.problem = []
        for _ in range(calls):
            offsets = self.receive(tokens + 1, dtype=torch.int64)
            count = int(offsets[-1])
            expert = self.receive(count, dtype=torch.int32).long()
            weight = self.receive(count).requires_grad_()
            token = torch.repeat_interleave(torch.arange(tokens), offsets[1:] - offsets[:-1])
            self.problem.append((token, expert, weight))
        self.recorded = [None] * calls
        self.answer("ok")

    def do_forward(self, call):
        with self.torch.inference_mode():
            self.send(self.layer(call))

    def do_record(self, call):
        self.recorded[call] = self.layer(call)
        self.send(self.recorded[call])

    def do_backward(self, call):
        self.backward(call)
        self.send(self.x.grad)
        self.send(self.problem[call][2].grad)

    def do_project(self, up_stride, down_stride):
        for experts, stride in ((self.up, up_stride), (self.down, down_stride)):
            columns = self.torch.arange(experts[0].shape[1])
            projector = ((columns * 7919 % 31 - 15) / 16).float()
            for weights in experts:
                grad = self.torch.zeros_like(weights) if weights.grad is None else weights.grad
                self.send(grad[::stride].float() @ projector)

    def do_time(self, backward, repeats):
        torch = self.torch
        start = time.perf_counter()
        for _ in range(repeats):
            for call in range(len(self.problem)):
                if backward:
                    self.backward(call)
                else:
                    with torch.inference_mode():
                        self.layer(call)
        self.answer((time.perf_counter() - start) / (repeats * len(self.problem)))

    # --- the layer -------------------------------------------------------------------------------

    def layer(self, call):
        token, expert, weight = self.problem[call]
        order = self.torch.argsort(expert)
        counts = self.torch.bincount(expert, minlength=len(self.up)).tolist()
        x = self.x.to(self.dtype)
        y = self.torch.zeros_like(self.x)
        begin = 0
        for e, count in enumerate(counts):
            if count == 0:
                continue
            chosen = order[begin : begin + count]
            begin += count
            rows = token[chosen]
            hidden = self.functional.linear(x[rows], self.up[e])
            if self.gated:
                gate, up = hidden.chunk(2, dim=-1)
                hidden = self.functional.silu(gate) * up
            else:
                hidden = self.functional.relu(hidden)
            out = self.functional.linear(hidden, self.down[e])
            y.index_add_(0, rows, out.float() * weight[chosen, None])
        return y

    def backward(self, call):
        for tensor in (self.x, self.problem[call][2], *self.up, *self.down):
            tensor.grad = None
        self.recorded[call].backward(self.dy, retain_graph=True)


if __name__ == "__main__":
    main()
