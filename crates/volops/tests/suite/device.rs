//! Devices by name.

use volops::{DeviceError, device};

#[test]
fn the_cpu_is_always_there() {
    assert_eq!(device("cpu"), Ok(burn::tensor::Device::flex()));
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    for name in ["gpu", "", "cpu:0", "CUDA", "tpu:1"] {
        let error = device(name).unwrap_err();
        assert_eq!(error, DeviceError::Unknown { name: name.into() });
        let text = error.to_string();
        assert!(
            text.contains(&format!("`{name}`")) && text.contains("cuda, rocm, metal, vulkan, wgpu"),
            "{text}"
        );
    }
}

#[test]
fn an_index_has_to_be_a_number() {
    for name in ["cuda:", "vulkan:-1", "wgpu:first"] {
        assert_eq!(device(name), Err(DeviceError::BadIndex { name: name.into() }));
    }
}

#[test]
#[cfg(not(feature = "rocm"))]
fn a_device_that_is_not_compiled_in_names_the_feature_to_build_with() {
    for name in ["rocm", "rocm:2"] {
        let error = device(name).unwrap_err();
        assert_eq!(error, DeviceError::NotCompiled { name: "rocm".into() });
        assert!(error.to_string().contains("`--features rocm`"), "{error}");
    }
}
