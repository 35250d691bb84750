//! Memory of a GPU.

use std::cell::Cell;

use burn_cubecl::tensor::CubeTensor;
use cubecl::{
    client::Client,
    prelude::{BufferArg, ComptimeOptionArgs},
};

use super::together::{awaits, settle, settle_for};

/// A run of `f32` on a device.
#[derive(Clone, Debug)]
pub struct Buffer {
    tensor: CubeTensor,
}

impl Buffer {
    /// The elements of a tensor of `f32`, width fastest: a copy if they lie otherwise.
    pub fn of(tensor: CubeTensor) -> Self {
        if !tensor.is_contiguous() {
            settle();
        }
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
        let bytes = len * size_of::<f32>();
        LARGEST.set(LARGEST.get().max(bytes as u64));
        let handle = client.empty(bytes);
        let tensor = CubeTensor::new_contiguous(
            client.clone(),
            device.clone(),
            [len].into(),
            handle,
            *dtype,
        );
        Self { tensor }
    }

    /// Bytes of the largest buffer that the device can give a kernel.
    pub fn most_bytes(&self) -> u64 {
        self.client().properties().memory.max_page_size
    }

    /// Whether nothing else refers to these elements, so that they may be overwritten.
    pub fn is_unique(&self) -> bool {
        self.tensor.can_mut() && !awaits(self)
    }

    /// The elements to be overwritten: these when nothing else refers to them, else a copy.
    pub fn overwritable(self) -> Self {
        if self.is_unique() {
            return self;
        }
        settle_for(&self);
        Self { tensor: self.tensor.copy() }
    }

    /// What tells its memory from other memory.
    pub(super) fn id(&self) -> usize {
        self.tensor.handle.memory.descriptor().id.value
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

    /// As an argument of a kernel, once what fills it has been launched.
    pub(super) fn arg(&self) -> BufferArg {
        BYTES.with(|bytes| bytes.set(bytes.get() + (self.len() * size_of::<f32>()) as u64));
        settle_for(self);
        self.unread()
    }

    /// As an argument that the kernel does nothing with.
    pub(super) fn unread(&self) -> BufferArg {
        self.tensor.clone().into_buffer_arg()
    }
}

thread_local! {
    /// Bytes of all buffers that kernels were given by this thread.
    static BYTES: Cell<u64> = const { Cell::new(0) };
    /// Bytes of the largest buffer that this thread asked for.
    static LARGEST: Cell<u64> = const { Cell::new(0) };
}

/// Bytes of all buffers that kernels were given by this thread since it began.
pub fn bytes_given() -> u64 {
    BYTES.with(Cell::get)
}

/// A buffer as an argument of a kernel that can do without.
pub(super) fn optional(buffer: Option<&Buffer>) -> ComptimeOptionArgs<&'static [f32]> {
    buffer.map(Buffer::arg).into()
}

/// Bytes of the largest buffer that this thread asked for since this was asked last.
pub fn largest_made() -> u64 {
    LARGEST.replace(0)
}
