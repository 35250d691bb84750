//! Measurements of the machine are within what a machine can do.

use volops::machine::{copy_gb_per_s, multiply_add_gflops};

#[test]
fn no_more_is_measured_than_a_core_can_do() {
    // Two 512-bit multiply-adds a cycle at 8 GHz: a loop that the compiler has removed would be
    // faster.
    let most = 2.0 * 2.0 * 16.0 * 8.0 * rayon::current_num_threads() as f64;
    let peak = multiply_add_gflops();
    assert!(peak > 0.1 && peak < most, "{peak} GFLOP/s");
    let copy = copy_gb_per_s(1 << 16);
    assert!(copy > 0.1 && copy < most, "{copy} GB/s");
}
