"""SIMD registers for numba functions: what `numba.py` computes with.

A register holds `lanes(array)` consecutive elements of a C-contiguous array. Written out by hand
because the compiler, left to vectorise the kernel's loops itself, took 1.6 times as long.
"""

from __future__ import annotations

import math

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

# Bytes of a register. On machines whose registers are narrower, LLVM splits it.
WIDTH = 64 if llvm.get_host_cpu_features().get("avx512f") else 32
FUSE = ("contract", "nsz")  # all that the arithmetic may be changed by


class Register(types.Type):
    def __init__(self, dtype: types.Float):
        self.dtype = dtype
        super().__init__(f"Register({dtype})")


@register_model(Register)
class _RegisterModel(models.PrimitiveModel):
    def __init__(self, manager, kind: Register):
        element = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, _count(kind.dtype)))


def _count(dtype: types.Float) -> int:
    return WIDTH * 8 // dtype.bitwidth


def _indices(numbers) -> ir.Constant:
    numbers = list(numbers)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), numbers)


def _call(builder, name: str, arguments):
    """LLVM's own function of that name, lane by lane."""
    vector = arguments[0].type
    suffix = {"float": "f32", "double": "f64"}[str(vector.element)]
    signature = ir.FunctionType(vector, [vector] * len(arguments))
    name = f"llvm.{name}.v{vector.count}{suffix}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), arguments)


def _constants(vector: ir.VectorType):
    """A function that gives the register with a number in every lane."""
    return lambda number: ir.Constant(vector, [number] * vector.count)


def _address(context, builder, signature, arguments, vector):
    data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())


@intrinsic
def lanes(typing, array):
    """How many elements of the array a register holds."""

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.intp, _count(array.dtype))

    return types.intp(array), generate


@intrinsic
def load(typing, array, offset):
    """The elements from `offset` on, counted in the flattened array."""
    kind = Register(array.dtype)

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments, context.get_value_type(kind))
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return kind(array, types.intp), generate


@intrinsic
def store(typing, array, offset, register):
    """Write a register to the elements from `offset` on."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments, arguments[2].type)
        builder.store(arguments[2], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, register), generate


@intrinsic
def prefetch(typing, array, offset):
    """Ask for the cache line of the element at `offset`, which need not exist: into the L2, to be written."""

    def generate(context, builder, signature, arguments):
        number = ir.IntType(32)
        address = _address(context, builder, signature, arguments, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        to_write, second_level, data = number(1), number(2), number(1)
        builder.call(function, [address, to_write, second_level, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def add(typing, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fadd(*arguments)


@intrinsic
def spread(typing, scalar):
    """A number in every lane."""
    kind = Register(scalar)

    def generate(context, builder, signature, arguments):
        vector = context.get_value_type(kind)
        empty = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(empty, arguments[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(first, empty, _indices([0] * vector.count))

    return kind(scalar), generate


def _halves(size: int, count: int, bits: int) -> tuple[list[int], list[int]]:
    """Which lanes of two registers hold the first halves of groups of `size` lanes, and which the second.

    Small groups stay within their 128 bits: across them shuffles are slow.
    """
    block = count if size * bits > 128 else 128 // bits
    starts = [
        register + group
        for at in range(0, count, block)
        for register in (at, count + at)
        for group in range(0, block, size)
    ]
    first = [start + lane for start in starts for lane in range(size // 2)]
    return first, [lane + size // 2 for lane in first]


@intrinsic
def totals(typing, registers):
    """The sum of each register's lanes, by halves.

    At each halving two registers become one. Their sums one by one would take three times the shuffles.
    """
    dtype = registers.dtype.dtype

    def generate(context, builder, signature, arguments):
        values = [builder.extract_value(arguments[0], i) for i in range(len(registers))]
        count = size = values[0].type.count
        owners = [[i] * count for i in range(len(values))]  # the sum that each lane is a part of
        while size > 1:
            halves = _halves(size, count, dtype.bitwidth)
            first, second = map(_indices, halves)
            pairs = [(i, min(i + 1, len(values) - 1)) for i in range(0, len(values), 2)]
            owners = [[(owners[i] + owners[j])[lane] for lane in halves[0]] for i, j in pairs]
            values = [
                builder.fadd(
                    builder.shuffle_vector(values[i], values[j], first),
                    builder.shuffle_vector(values[i], values[j], second),
                )
                for i, j in pairs
            ]
            size //= 2
        sums = []
        for i in range(len(registers)):
            value, lanes = next(both for both in zip(values, owners, strict=True) if i in both[1])
            sums.append(builder.extract_element(value, ir.Constant(ir.IntType(32), lanes.index(i))))
        return context.make_tuple(builder, signature.return_type, sums)

    return types.UniTuple(dtype, len(registers))(registers), generate


@intrinsic
def total(typing, a):
    """The sum of the lanes, by halves."""

    def generate(context, builder, signature, arguments):
        vector = arguments[0].type
        signature = ir.FunctionType(vector.element, [vector.element, vector])
        suffix = {"float": "f32", "double": "f64"}[str(vector.element)]
        name = f"llvm.vector.reduce.fadd.v{vector.count}{suffix}"
        function = cgutils.get_or_insert_function(builder.module, signature, name)
        zero = ir.Constant(vector.element, -0.0)
        return builder.call(function, [zero, arguments[0]], fastmath=("reassoc",))

    return a.dtype(a), generate


@intrinsic
def relu(typing, a):
    """0 where a is negative. A NaN stays one."""

    def generate(context, builder, signature, arguments):
        zero = ir.Constant(arguments[0].type, None)
        return builder.select(builder.fcmp_ordered("<", arguments[0], zero), zero, arguments[0])

    return a(a), generate


@intrinsic
def where_positive(typing, test, a):
    """a where test is positive, otherwise 0."""

    def generate(context, builder, signature, arguments):
        zero = ir.Constant(arguments[0].type, None)
        return builder.select(builder.fcmp_ordered(">", arguments[0], zero), arguments[1], zero)

    return a(test, a), generate


@intrinsic
def fma(typing, a, b, c):
    """a * b + c, rounded once."""
    return a(a, b, c), lambda context, builder, signature, arguments: _call(builder, "fma", arguments)


@intrinsic
def multiply(typing, a, b):
    return a(a, b), lambda context, builder, signature, arguments: builder.fmul(*arguments, flags=FUSE)


@intrinsic
def reciprocal(typing, a):
    """1 / a of normal positive numbers; in float32 by a guess from the bits and Newton's method, to 1e-7.

    Division is the slowest part of Adam's step where registers are wide. x86's own approximate
    reciprocals differ between makes of CPU; sums and products do not.
    """

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        vector, constant = value.type, _constants(value.type)
        if not isinstance(vector.element, ir.FloatType):
            return builder.fdiv(constant(1.0), value)
        whole = ir.VectorType(ir.IntType(32), vector.count)
        bits = builder.sub(ir.Constant(whole, [0x7EF311C7] * vector.count), builder.bitcast(value, whole))
        guess, minus = builder.bitcast(bits, vector), builder.fneg(value)
        for _ in range(3):  # 12 %, 1.5 %, 0.02 %, 4e-8
            error = _call(builder, "fma", [minus, guess, constant(1.0)])
            guess = _call(builder, "fma", [guess, error, guess])
        return guess

    return a(a), generate


@intrinsic
def exp(typing, a):
    """exp(a) of numbers up to 80, to 2e-7 in float32, where one below -87 counts as -87.

    Sums, products and operations on bits: all CPUs give the same. The library's function takes one number at
    a time, 40 cycles each.
    """

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        vector, constant = value.type, _constants(value.type)
        if not isinstance(vector.element, ir.FloatType):
            return _call(builder, "exp", [value])
        low = builder.fcmp_ordered("<", value, constant(-87.0))  # false where it is NaN
        value = builder.select(low, constant(-87.0), value)
        # 2^n exp(rest): to 1.5 * 2^23 added, a number is rounded, and its last bits hold n.
        shift = 1.5 * 2**23
        rounded = _call(builder, "fma", [value, constant(1 / math.log(2)), constant(shift)])
        n = builder.fsub(rounded, constant(shift))
        high = 0.693145751953125  # log 2 to 16 bits: its product with n is exact
        rest = _call(builder, "fma", [n, constant(-high), value])
        rest = _call(builder, "fma", [n, constant(high - math.log(2)), rest])
        result = constant(1 / math.factorial(7))
        for power in range(6, -1, -1):
            result = _call(builder, "fma", [result, rest, constant(1 / math.factorial(power))])
        whole = ir.VectorType(ir.IntType(32), vector.count)
        exponent = builder.add(builder.bitcast(rounded, whole), ir.Constant(whole, [127] * vector.count))
        exponent = builder.shl(exponent, ir.Constant(whole, [23] * vector.count))
        return builder.fmul(result, builder.bitcast(exponent, vector))

    return a(a), generate


@intrinsic
def sqrt(typing, a):
    return a(a), lambda context, builder, signature, arguments: _call(builder, "sqrt", arguments)


@intrinsic
def float_of(typing, bits):
    """The float32 that has these bits, an int32."""
    return types.float32(types.int32), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.FloatType()
    )


@intrinsic
def bits_of(typing, number):
    """The bits of a float32, as an int32."""
    return types.int32(types.float32), lambda context, builder, signature, arguments: builder.bitcast(
        arguments[0], ir.IntType(32)
    )
