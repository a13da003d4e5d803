"""The form of a mixer: its options, the marks on its layers and weights, and what its methods take and give.

What is wrong here would pass unseen elsewhere: an option without a hint is not checked in a configuration, a misspelt
mark is an attribute that nobody reads, a state of another dtype works until a decoder preallocates it.
"""

import difflib
import inspect

import torch
from torch import Tensor, nn

from seqscale.checks.case import F64, Case, CheckFailed, start, tokens
from seqscale.mixers import Mixer, State

MARKS = {"residual_output": "layers that write into the residual stream", "no_weight_decay": "weights"}


def options(case: Case) -> None:
    """Every option has a type hint: a configuration is checked against it."""
    for option in list(inspect.signature(type(case.make())).parameters.values())[1:]:
        if option.annotation is option.empty:
            hint = type(option.default).__name__
            raise CheckFailed(
                f"the option {option.name!r} has no type hint; write `{option.name}: {hint} = {option.default!r}`"
            )


def marks(case: Case) -> None:
    """`residual_output` is on Linear layers, and on the last; `no_weight_decay` is on parameters; both spelt so."""
    mixer = case.make()
    for name, module in mixer.named_modules():
        where = f"self.{name}" if name else "self"
        for given in _marks_on(vars(module), where):
            if given == "no_weight_decay":
                raise CheckFailed(f"{where} is a layer: mark its weights, `{where}.weight.no_weight_decay = True`")
            if not isinstance(module, nn.Linear):
                raise CheckFailed(
                    f"{where}.residual_output is read on Linear layers alone; this is a {type(module).__name__}"
                )
    for name, parameter in mixer.named_parameters():
        for given in _marks_on(vars(parameter), f"self.{name}"):
            if given == "residual_output":
                layer = name.rpartition(".")[0] or name
                raise CheckFailed(f"self.{name} is a weight: mark its layer, `self.{layer}.residual_output = True`")
    _last_layer_is_marked(mixer)


def _marks_on(attributes: dict[str, object], where: str) -> list[str]:
    """The marks among an object's attributes; one that is misspelt or no bool is a fault."""
    found = []
    for name, value in attributes.items():
        if name in MARKS:
            if not isinstance(value, bool):
                raise CheckFailed(f"{where}.{name} must be True or False, not {value!r}")
            found.append(name)
        elif isinstance(value, bool) and (near := difflib.get_close_matches(name, MARKS, 1, 0.75)):
            raise CheckFailed(f"nobody reads {where}.{name}; the mark on {MARKS[near[0]]} is `{near[0]}`")
    return found


@torch.no_grad()
def _last_layer_is_marked(mixer: Mixer) -> None:
    """The Linear layer whose output is the mixer's own writes into the residual stream and must say so."""
    outputs: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _, __, y, name=name: outputs.__setitem__(name, y))
        for name, module in mixer.named_modules()
        if isinstance(module, nn.Linear)
    ]
    y = mixer(tokens(mixer))
    for handle in handles:
        handle.remove()
    for name, given in outputs.items():
        same = given.shape == y.shape and given.data_ptr() == y.data_ptr()
        if same and not getattr(mixer.get_submodule(name), "residual_output", False):
            raise CheckFailed(
                f"self.{name} writes into the residual stream, but is not scaled down at the start as every other "
                f"model's is: write `self.{name}.residual_output = True`"
            )


@torch.no_grad()
def state_form(case: Case) -> None:
    """init_state, mix and step give states of one form: names, and each tensor's shape, dtype and device."""
    for dtype in (F64, torch.float32):
        mixer = case.make(dtype)
        x, first = tokens(mixer, dtype=dtype), start(mixer, dtype=dtype)
        if not isinstance(first, dict):
            raise CheckFailed(f"init_state gives a {type(first).__name__}; it owes a dictionary of tensors by name")
        for name, value in first.items():
            if isinstance(value, Tensor) and value.shape[:1] != (2,):
                raise CheckFailed(f"init_state: {name!r} is {tuple(value.shape)} for batch 2; the batch comes first")
        given = mixer.mix(x[:, :5], start(mixer, dtype=dtype))
        _same_form(_pair(given, "mix(x, state)", mixer), first, "mix", dtype)
        given = mixer.step(x[:, 0], start(mixer, dtype=dtype))
        _same_form(_pair(given, "step(x, state)", mixer), first, "step", dtype)
        if not (isinstance(given := mixer.mix(x, None), tuple) and len(given) == 2):
            raise CheckFailed(f"mix(x, None) gives a {type(given).__name__}; it owes (y, next state), or (y, None)")


def _pair(given: object, what: str, mixer: Mixer) -> State:
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], Tensor)):
        raise CheckFailed(f"{what} gives a {type(given).__name__}; it owes two things, (y, next state)")
    if not isinstance(given[1], dict):
        raise CheckFailed(f"{what} gives {type(given[1]).__name__} as the next state; it was given one and owes one")
    return given[1]


def _same_form(found: State, first: State, method: str, dtype: torch.dtype) -> None:
    if set(found) != set(first):
        raise CheckFailed(f"{method} gives a state with {_names(found)}; init_state makes one with {_names(first)}")
    for name, expected in first.items():
        value = found[name]
        if not isinstance(expected, Tensor):
            continue
        if not isinstance(value, Tensor) or value.dtype != expected.dtype or value.device != expected.device:
            form = f"{value.dtype} on {value.device}" if isinstance(value, Tensor) else type(value).__name__
            raise CheckFailed(
                f"{method}, fed {dtype}: {name!r} of the next state is {form}; init_state makes it {expected.dtype} on "
                f"{expected.device}"
            )
        if "length" not in first and value.shape != expected.shape:  # a cache may grow
            raise CheckFailed(
                f"{method}: {name!r} of the next state is {tuple(value.shape)}; init_state makes it "
                f"{tuple(expected.shape)}"
            )


def _names(state: State) -> str:
    return ", ".join(sorted(map(repr, state))) or "nothing in it"
