//! The memory that brotli asks for, kept per thread from one body to the next.
//!
//! A brotli encoder cannot begin anew, and a new one asks for two megabytes. Whether the C library keeps them is a
//! matter of luck, of what else lies beside them; from the kernel, page by page, they cost two thirds of what a page of
//! 100 KB costs to encode, and more the busier the process is. Wiped and used again they cost little.

use brotli::enc::{BrotliAlloc, StandardAlloc};
use brotli::{Allocator, SliceWrapper, SliceWrapperMut};
use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;

/// Smaller cells are the allocator's business: it keeps them by itself.
const CELL_BYTES_MIN: usize = 64 << 10;

/// What a thread keeps, the memory of four encoders; beyond that what was kept longest is freed.
const KEPT_BYTES_MAX: usize = 8 << 20;

type Cell<T> = <StandardAlloc as Allocator<T>>::AllocatedMemory;

/// Brotli's allocator: the usual one, with large cells kept for the next body.
#[derive(Default)]
pub(crate) struct Cells;

/// Cells of any type with their bytes, the last kept last.
#[derive(Default)]
struct Kept {
    cells: VecDeque<(usize, Box<dyn Any>)>,
    bytes: usize,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

impl<T: Clone + Default + 'static> Allocator<T> for Cells {
    type AllocatedMemory = Cell<T>;

    fn alloc_cell(&mut self, len: usize) -> Cell<T> {
        let kept =
            (bytes_of::<T>(len) >= CELL_BYTES_MIN).then(|| KEPT.with_borrow_mut(|kept| kept.take::<T>(len)));
        match kept.flatten() {
            Some(mut cell) => {
                // Nothing of another body is left in it.
                cell.slice_mut().fill(T::default());
                cell
            }
            None => StandardAlloc::default().alloc_cell(len),
        }
    }

    fn free_cell(&mut self, cell: Cell<T>) {
        let bytes = bytes_of::<T>(cell.slice().len());
        if bytes >= CELL_BYTES_MIN {
            // While the thread ends there is nothing left to keep it in, and it is freed.
            let _ = KEPT.try_with(|kept| kept.borrow_mut().keep(bytes, Box::new(cell)));
        }
    }
}

impl BrotliAlloc for Cells {}

impl Kept {
    fn take<T: Clone + Default + 'static>(&mut self, len: usize) -> Option<Cell<T>> {
        let suits =
            |cell: &dyn Any| cell.downcast_ref::<Cell<T>>().is_some_and(|cell| cell.slice().len() == len);
        let at = self.cells.iter().rposition(|(_, cell)| suits(&**cell))?;
        let (bytes, cell) = self.cells.remove(at)?;
        self.bytes -= bytes;
        cell.downcast().ok().map(|cell| *cell)
    }

    fn keep(&mut self, bytes: usize, cell: Box<dyn Any>) {
        self.cells.push_back((bytes, cell));
        self.bytes += bytes;
        while self.bytes > KEPT_BYTES_MAX {
            let Some((bytes, _)) = self.cells.pop_front() else { return };
            self.bytes -= bytes;
        }
    }
}

fn bytes_of<T>(len: usize) -> usize {
    len * size_of::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> (usize, usize) {
        KEPT.with_borrow(|kept| (kept.cells.len(), kept.bytes))
    }

    #[test]
    fn a_large_cell_is_kept_and_comes_back_wiped() {
        let mut cell: Cell<u32> = Cells.alloc_cell(CELL_BYTES_MIN / 4);
        cell.slice_mut().fill(7);
        let place = cell.slice().as_ptr();
        Cells.free_cell(cell);
        assert_eq!(kept(), (1, CELL_BYTES_MIN));
        let other: Cell<u8> = Cells.alloc_cell(CELL_BYTES_MIN);
        assert_eq!(kept().0, 1, "another type is another cell");
        let longer: Cell<u32> = Cells.alloc_cell(CELL_BYTES_MIN);
        assert_eq!(kept().0, 1, "so is another length");
        let again: Cell<u32> = Cells.alloc_cell(CELL_BYTES_MIN / 4);
        assert_eq!(again.slice().as_ptr(), place);
        assert!(again.slice().iter().all(|word| *word == 0));
        assert_eq!(kept(), (0, 0));
        drop((other, longer));
    }

    #[test]
    fn small_cells_are_not_kept() {
        let cell: Cell<u8> = Cells.alloc_cell(CELL_BYTES_MIN - 1);
        Cells.free_cell(cell);
        assert_eq!(kept(), (0, 0));
    }

    #[test]
    fn no_more_than_the_bound_is_kept_and_the_oldest_goes() {
        for len in 0..200 {
            let cell: Cell<u8> = StandardAlloc::default().alloc_cell(CELL_BYTES_MIN + len);
            Cells.free_cell(cell);
            assert!(kept().1 <= KEPT_BYTES_MAX);
        }
        assert!(KEPT.with_borrow_mut(|kept| kept.take::<u8>(CELL_BYTES_MIN)).is_none());
        assert!(KEPT.with_borrow_mut(|kept| kept.take::<u8>(CELL_BYTES_MIN + 199)).is_some());
        let large: Cell<u8> = StandardAlloc::default().alloc_cell(KEPT_BYTES_MAX + 1);
        Cells.free_cell(large);
        assert_eq!(kept(), (0, 0));
    }
}
