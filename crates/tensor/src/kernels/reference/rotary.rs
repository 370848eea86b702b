//! Rotary positions as plain loops. Each product is rounded, so that the bits do not depend on the
//! compilation.

use crate::Element;
use crate::kernels::Rotary;

/// `y = x cos - z sin, z' = z cos + x sin` for the pairs (x, z) of each head, x in its first half and z in
/// its second; or the opposite rotation. The rest of the row is copied.
#[inline(always)]
pub fn rotate<E: Element>(
    rotary: Rotary<'_, E>,
    positions: &[u32],
    x: &[E],
    y: &mut [E],
    back: bool,
    add: bool,
) {
    let Rotary { width, heads, size, angles } = rotary;
    let half = size / 2;
    let set = |y: &mut E, value: E| *y = if add { *y + value } else { value };
    for ((x, y), &position) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(positions) {
        let (cos, sin) = angles[position as usize * size..][..size].split_at(half);
        let (turned, kept) = y.split_at_mut(heads * size);
        for (x, y) in x.chunks_exact(size).zip(turned.chunks_exact_mut(size)) {
            let ((x, z), (to_x, to_z)) = (x.split_at(half), y.split_at_mut(half));
            for ((((to_x, to_z), (&x, &z)), &cos), &sin) in
                to_x.iter_mut().zip(to_z).zip(x.iter().zip(z)).zip(cos).zip(sin)
            {
                let sin = if back { -sin } else { sin };
                set(to_x, x * cos - z * sin);
                set(to_z, z * cos + x * sin);
            }
        }
        kept.iter_mut().zip(&x[heads * size..]).for_each(|(y, &x)| set(y, x));
    }
}
