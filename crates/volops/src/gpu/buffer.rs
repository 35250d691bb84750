//! Memory of a GPU.

use std::cell::Cell;

use burn_cubecl::tensor::CubeTensor;
use cubecl::{
    client::Client,
    prelude::{BufferArg, ComptimeOptionArgs},
};

/// A run of `f32` on a device.
#[derive(Clone, Debug)]
pub struct Buffer {
    tensor: CubeTensor,
}

impl Buffer {
    /// The elements of a tensor of `f32`, width fastest: a copy if they lie otherwise.
    pub fn of(tensor: CubeTensor) -> Self {
        Self { tensor: burn_cubecl::kernel::into_contiguous(tensor) }
    }

    /// The elements as a tensor of this shape.
    pub fn into_tensor<const D: usize>(self, shape: [usize; D]) -> CubeTensor {
        let CubeTensor { client, handle, device, dtype, .. } = self.tensor;
        CubeTensor::new_contiguous(client, device, shape.into(), handle, dtype)
    }

    /// `len` elements on the same device, whatever they are.
    pub fn empty(&self, len: usize) -> Self {
        let CubeTensor { client, device, dtype, .. } = &self.tensor;
        let handle = client.empty(len * size_of::<f32>());
        let tensor = CubeTensor::new_contiguous(
            client.clone(),
            device.clone(),
            [len].into(),
            handle,
            *dtype,
        );
        Self { tensor }
    }

    /// Whether nothing else refers to these elements, so that they may be overwritten.
    pub fn is_unique(&self) -> bool {
        self.tensor.can_mut()
    }

    /// The elements to be overwritten: these when nothing else refers to them, else a copy.
    pub fn overwritable(self) -> Self {
        if self.is_unique() { self } else { Self { tensor: self.tensor.copy() } }
    }

    /// The least number of elements, `len` at least, behind which a [part](Self::part) may begin.
    pub(super) fn padded(&self, len: usize) -> usize {
        let alignment = self.client().properties().memory.alignment as usize / size_of::<f32>();
        len.next_multiple_of(alignment.max(1))
    }

    /// `len` elements from `first` on, without a copy.
    pub(super) fn part(&self, first: usize, len: usize) -> Self {
        let CubeTensor { client, handle, device, dtype, .. } = &self.tensor;
        let behind = self.len() - first - len;
        let [before, behind] = [first, behind].map(|elements| (elements * size_of::<f32>()) as u64);
        let handle = handle.clone().offset_start(before).offset_end(behind);
        let (client, device) = (client.clone(), device.clone());
        Self { tensor: CubeTensor::new_contiguous(client, device, [len].into(), handle, *dtype) }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.tensor.meta.num_elements()
    }

    pub(super) fn client(&self) -> &Client {
        &self.tensor.client
    }

    /// As an argument of a kernel.
    pub(super) fn arg(&self) -> BufferArg {
        BYTES.with(|bytes| bytes.set(bytes.get() + (self.len() * size_of::<f32>()) as u64));
        self.tensor.clone().into_buffer_arg()
    }
}

thread_local! {
    /// Bytes of all buffers that kernels were given by this thread.
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Bytes of all buffers that kernels were given by this thread since it began.
pub fn bytes_given() -> u64 {
    BYTES.with(Cell::get)
}

/// A buffer as an argument of a kernel that can do without.
pub(super) fn optional(buffer: Option<&Buffer>) -> ComptimeOptionArgs<&'static [f32]> {
    buffer.map(Buffer::arg).into()
}
