//! Volumes read with other steps, against the definition.

use volops::kernel::view::View;

#[test]
fn what_is_read_is_where_the_steps_lead_and_writing_is_the_adjoint() {
    let (extents, volumes) = ([3, 4, 5], 2);
    let x: Vec<f32> = (0..volumes * 60).map(|i| i as f32).collect();
    for (stride, order) in
        [([1; 3], [0, 1, 2]), ([2, 1, 2], [0, 1, 2]), ([1, 2, 1], [2, 0, 1]), ([2; 3], [1, 2, 0])]
    {
        let view = View::new(extents, stride, order);
        let read = view.read(&x);
        let mut expected = Vec::new();
        let n = order.map(|axis| extents[axis].div_ceil(stride[axis]));
        for volume in 0..volumes {
            for i in 0..n[0] {
                for j in 0..n[1] {
                    for k in 0..n[2] {
                        let mut at = [0; 3];
                        for (axis, index) in order.into_iter().zip([i, j, k]) {
                            at[axis] = index * stride[axis];
                        }
                        expected.push(x[((volume * 3 + at[0]) * 4 + at[1]) * 5 + at[2]]);
                    }
                }
            }
        }
        assert_eq!(read, expected);
        assert_eq!(view.read(&view.write(&read)), read);
        let written = view.write(&read);
        assert_eq!(written.len(), x.len());
        assert_eq!(written.iter().sum::<f32>(), read.iter().sum::<f32>());
        assert_eq!(view.is_identity(), stride == [1; 3] && order == [0, 1, 2]);
    }
}
