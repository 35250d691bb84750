//! Devices by name.

use volops::{DeviceError, device};

#[test]
fn the_cpu_is_always_there() {
    assert_eq!(device("cpu"), Ok(burn::tensor::Device::flex()));
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    for name in ["graphics", "", "cpu:0", "CUDA", "tpu:1"] {
        let error = device(name).unwrap_err();
        assert_eq!(error, DeviceError::Unknown { name: name.into() });
        let text = error.to_string();
        assert!(
            text.contains(&format!("`{name}`"))
                && text.contains("gpu, cuda, rocm, metal, vulkan, wgpu"),
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
#[cfg(feature = "cube")]
fn a_gpu_that_is_not_there_says_how_many_are() {
    let name = "wgpu:99999";
    match device(name) {
        Err(DeviceError::Missing { name: asked, found }) => {
            assert_eq!(asked, name);
            let text = DeviceError::Missing { name: asked, found }.to_string();
            assert!(text.contains("`wgpu:99999`"), "{text}");
        }
        // Of a build for other GPUs.
        other => assert_eq!(other, Err(DeviceError::NotCompiled { name: "wgpu".into() })),
    }
}

#[test]
fn what_is_listed_can_be_asked_for() {
    let listed = volops::devices();
    assert_eq!(listed[0].name, "cpu");
    for entry in listed {
        assert!(device(&entry.name).is_ok(), "{entry:?}");
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
