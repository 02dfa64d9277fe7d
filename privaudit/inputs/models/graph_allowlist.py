"""Operations that a TorchScript model may use: all compute from what they are handed, and no more.

None reads or writes a file, prints, draws a random number, reads a clock, hands out memory that
nobody wrote, talks to another process, or calls Python. Nor does any tell how it is asked: whether
gradients are kept, where a tensor lies, in what order of memory. An attacker may ask another way
than the audit does. What is not listed is refused.
"""

from __future__ import annotations

from privaudit.errors import PrivauditError

_POINTWISE = """
    abs absolute acos acosh add addcdiv addcmul angle arccos arcsin arctan arctan2 asin asinh atan
    atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor ceil celu clamp clamp_max clamp_min
    clip copysign cos cosh deg2rad degrees digamma div divide elu elu_ eq erf erfc erfinv exp exp2
    expm1 fix float_power floor floor_divide floordiv fmax fmin fmod frac ge gelu glu greater
    greater_equal gt hardshrink hardsigmoid hardswish hardtanh heaviside hypot isfinite isinf isnan
    isneginf isposinf isreal ldexp le leaky_relu lerp less less_equal lgamma log log10 log1p log2
    log_sigmoid log_softmax logaddexp logaddexp2 logical_and logical_not logical_or logical_xor
    logit lt maximum minimum mish mul multiply nan_to_num ne neg negative not_equal positive pow
    prelu rad2deg radians reciprocal relu relu6 remainder round rsqrt rsub selu sgn sigmoid sign
    signbit silu sin sinc sinh softmax softplus softshrink special_expit special_log1p
    special_xlogy sqrt square sub subtract tan tanh threshold true_divide trunc where
    xlogy _softmax _log_softmax
"""
_IN_PLACE = """
    abs_ add_ addcdiv_ addcmul_ ceil_ celu_ clamp_ clamp_max_ clamp_min_ copy_ cos_ div_ exp_ fill_
    fill_diagonal_ floor_ gelu_ hardsigmoid_ hardswish_ hardtanh_ index_add_ index_copy_ index_fill_
    index_put_ leaky_relu_ lerp_ log_ logical_and_ logical_not_ logical_or_ masked_fill_
    masked_scatter_ mish_ mul_ nan_to_num_ neg_ pow_ reciprocal_ relu6_ relu_ remainder_ round_
    rsqrt_ scatter_ scatter_add_ selu_ sigmoid_ sign_ silu_ sin_ sqrt_ square_ sub_ tanh_ threshold_
    tril_ triu_ trunc_ zero_ detach_ squeeze_ unsqueeze_ transpose_ t_ dropout_ alpha_dropout_
    feature_dropout_
"""
_SHAPES = """
    adjoint atleast_1d atleast_2d atleast_3d broadcast_tensors broadcast_to cat chunk clone
    column_stack concat concatenate constant_pad_nd contiguous cumprod cumsum detach diag diag_embed
    diagonal dsplit dstack expand expand_as flatten flip fliplr flipud gather hsplit hstack index
    index_add index_copy index_fill index_put index_select masked_fill masked_scatter masked_select
    meshgrid mH mT moveaxis movedim narrow nonzero numpy_T pad permute ravel repeat
    repeat_interleave reshape reshape_as roll rot90 scatter scatter_add select slice split
    split_with_sizes squeeze stack swapaxes swapdims t take take_along_dim tensor_split tile
    transpose tril triu unbind unflatten unfold unsqueeze view view_as vsplit vstack _reshape_alias
    _unsafe_view alias one_hot bucketize searchsorted
"""
_REDUCTIONS = """
    all allclose amax amin aminmax any argmax argmin argsort bincount count_nonzero cummax cummin
    diff dist equal isclose isin kthvalue logcumsumexp logsumexp max mean median min mode msort
    nanmean nanmedian nansum norm frobenius_norm linalg_norm linalg_vector_norm prod quantile sort
    std std_mean sum sum_to_size topk trapz unique_consecutive unique_dim _unique2 var var_mean
    histc linalg_matrix_norm
"""
_LINEAR = """
    addbmm addmm addmv addr baddbmm batch_norm bilinear bmm cdist pdist chain_matmul conv1d conv2d
    conv3d conv_transpose1d _convolution convolution cosine_similarity cross dot einsum embedding
    embedding_bag group_norm inner instance_norm kron layer_norm linear matmul matrix_power mm mv
    native_batch_norm native_group_norm native_layer_norm outer pairwise_distance rms_norm
    scaled_dot_product_attention tensordot vdot linalg_multi_dot
    avg_pool1d avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d max_pool1d max_pool2d
    adaptive_max_pool1d adaptive_max_pool2d upsample_nearest1d
    lstm lstm_cell gru gru_cell rnn_tanh rnn_relu rnn_tanh_cell rnn_relu_cell
    _pack_padded_sequence _pad_packed_sequence _native_multi_head_attention
    _transformer_encoder_layer_fwd _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned
    to_padded_tensor dropout alpha_dropout feature_dropout
    feature_alpha_dropout native_dropout
"""
_MADE = """
    arange as_tensor eye full full_like linspace logspace ones ones_like scalar_tensor tensor zeros
    zeros_like new_full new_ones new_zeros tril_indices triu_indices one_hot
"""
_ASKED = """
    Bool Complex Float FloatImplicit Int IntImplicit ScalarImplicit Size __and__ __contains__
    __derive_index __getitem__ __interpolate __is__ __isnot__ __not__ __or__ __range_length
    __round_to_zero_floordiv __xor__ _set_item append ceil clear complex copy cpu device dim
    dict element_size endswith extend find format get insert is_complex is_floating_point is_nonzero
    is_same_size is_signed item items join keys len list lower lstrip
    numel ord percentFormat pop replace requires_grad_ reverse rstrip setdefault size slice sorted
    split startswith str strip sym_size title to type_as upper update values
           result_type can_cast promote_types warn

"""
ATEN = frozenset(
    " ".join((_POINTWISE, _IN_PLACE, _SHAPES, _REDUCTIONS, _LINEAR, _MADE, _ASKED)).split()
)

_CONTROL = """
    BroadcastSizes CallMethod CallFunction ChunkSizes Closure Constant ConstantChunk CreateObject
    DictConstruct DictIndex EnumName EnumValue Function GetAttr If ListConstruct ListIndex
    ListUnpack Loop ModuleContainerIndex NumToTensor RaiseException StringIndex TupleConstruct
    TupleIndex TupleSlice TupleUnpack Uninitialized abs data device dtype
    is_nested is_quantized is_sparse isinstance itemsize layout max min ndim rangelist
    shape tolist unchecked_cast unchecked_unwrap_optional
"""
PRIM = frozenset(_CONTROL.split())

QUANTIZED = frozenset(
    f"{name}{relu}"
    for name in ("linear", "linear_dynamic", "linear_dynamic_fp16", "add", "mul", "cat", "conv1d")
    for relu in ("", "_relu")
) | {
    *("linear_prepack", "linear_prepack_fp16", "linear_unpack", "linear_unpack_fp16"),
    *("linear_relu_dynamic", "linear_relu_dynamic_fp16"),
}
OPERATIONS = {"aten": ATEN, "prim": PRIM, "quantized": QUANTIZED}

QUANTIZING = frozenset(["quantize_per_tensor", "quantize_per_channel", "dequantize", "q_scale"])
"""Of quantised models, beside those of the name space of that name."""

PACKED = "__torch__.torch.classes.quantized.LinearPackedParamsBase"
"""The one class of torch's own that holds data of a quantised layer."""


def is_allowed(space: str, name: str) -> bool:
    """Whether an operation, such as `aten::add`, only computes."""
    if space == "aten" and name in QUANTIZING:
        return True
    return name in OPERATIONS.get(space, ())


def refuse_operation(name: str) -> PrivauditError:
    """The refusal of a model that names something else than a known operation."""
    shown = "".join(c for c in name if c.isalnum() or c in "_:.")[:60]
    return PrivauditError(
        f"a TorchScript file that uses {shown!r}",
        "operations are allowed by name, those that only compute from what they are handed: none "
        "that reads or writes files, prints, draws random numbers or reads a clock",
        "export the model again without it, as torch.jit.trace of the module in evaluation mode; "
        "or save the weights as safetensors and name the module (--module module:factory)",
    )


__all__ = ["ATEN", "PACKED", "is_allowed", "refuse_operation"]
