use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData};
use medvol::{Label, Target};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::*;
use crate::data::plan::Plan;
use crate::network::architecture::Architecture;
use crate::network::size::Size;
use crate::random::{Stream, rng};
use crate::settings::Config;
use crate::space::builtin;
use crate::space::genotype::Genotype;
use crate::space::grid::Grid;
use crate::space::per_edge::PerEdge;
use crate::space::topology::{EDGES, Space};
use crate::store::model::Card;

const PATCH: [usize; 3] = [16, 24, 16];

fn device() -> Device {
    volops::device("cpu").unwrap()
}

fn space(changes: Value) -> Space {
    let mut space = serde_json::to_value(Space::paper()).unwrap();
    space.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(space).unwrap()
}

/// Every operation on some edge of every type of cell.
fn every_operation(changes: Value) -> Architecture {
    let space = space(changes);
    let count = space.operations.len();
    let choices = PerEdge::from_fn(space.architectures(), |arch, edge| (arch + edge) % count);
    assert!(count <= EDGES);
    Genotype { space, choices }.into()
}

fn designed(text: &str) -> Architecture {
    serde_json::from_str(text).unwrap()
}

/// Networks that together have everything a network can have.
fn architectures() -> Vec<(&'static str, Architecture, Grid)> {
    let by_axis = json!({
        "strides": [[1, 2, 2], [2, 2, 2], [2, 1, 2]],
        "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
    });
    let by_axis: Grid = serde_json::from_value(by_axis).unwrap();
    let wired = json!({ "residual": true, "maps": true });
    let more = json!({
        "operations": ["conv1", "conv1x3x3", "conv3x1x1", "sep3", "max3", "avg3", "identity", "zero"],
        "upsample": "trilinear", "decoder_order": "expansion-first", "residual": true,
    });
    let named = |name| builtin::named(name, &space(wired.clone())).unwrap().unwrap().into();
    let nothing = Genotype::uniform(&space(wired.clone()), "zero").unwrap();
    let plain = r#"{"u": {"channels": [8, 8, 8, 8], "block": "plain", "gates": false, "maps": false, "upsample": "trilinear"}}"#;
    let separable =
        r#"{"u": {"channels": [4, 8, 16, 32], "decoder": [3, 2, 1], "block": "separable"}}"#;
    let cubes = Grid::ISOTROPIC;
    vec![
        ("eight operations", every_operation(json!({})), cubes),
        ("residual and maps", every_operation(wired.clone()), cubes),
        ("by axis", every_operation(wired.clone()), by_axis),
        ("other operations", every_operation(more.clone()), cubes),
        ("other, by axis", every_operation(more), by_axis),
        ("random:0", Genotype::random(&Space::paper(), 0).into(), cubes),
        ("nothing", nothing.into(), by_axis),
        ("chain", named("chain"), cubes),
        ("found-by-dropping", named("found-by-dropping"), cubes),
        ("u-resnet-half", Architecture::UResNetHalf, cubes),
        ("u-resnet by axis", Architecture::UResNet, by_axis),
        ("u, plain", designed(plain), cubes),
        ("u, separable", designed(separable), by_axis),
    ]
}

/// With weights as they could be after a training.
fn model(architecture: Architecture, grid: Grid, target: Target) -> Model {
    let label = |value| Label { value, name: format!("label {value}") };
    let plan = Plan {
        dataset: "made up".into(),
        channels: vec!["T1".into(), "CT".into()],
        labels: [0, 1, 4].map(label).to_vec(),
        target,
        ignore: None,
        spacing: [2.0, 1.0, 1.0],
        patch: PATCH,
        grid,
        normalisation: vec![
            medvol::Normalisation::ZScore,
            medvol::Normalisation::Ct { statistics: None },
        ],
        folds: vec![vec!["case of a patient".into()], vec!["another".into()]],
        fold: 0,
        geometry: None,
        training: None,
    };
    let mut predict = Config::load("default", None, &[]).unwrap().predict;
    predict.largest_component = vec![crate::settings::LabelKey::Value(4)];
    let size = Size { grid, ..Size::isotropic(2, plan.target.outputs(3), 8) };
    let mut model = Model::new(Card::new(architecture, size, plan, predict), &device(), 7);
    // Norms and biases start at 1 and 0, where mistakes in them do not show.
    let scales = |name: &str| ["gamma", "beta", "bias"].iter().any(|end| name.ends_with(end));
    let ids: Vec<_> = model.weights.iter().filter(|(_, w)| scales(&w.name)).map(|w| w.0).collect();
    for (n, id) in ids.into_iter().enumerate() {
        let shape = model.weights.value(id).dims();
        let values: Vec<f32> = random(shape[1], n as u64).iter().map(|v| 1.0 + 0.3 * v).collect();
        model.weights.set(id, Tensor::from_data(TensorData::new(values, shape), &device()));
    }
    model
}

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut r = rng(seed, Stream::WeightPatches, 0);
    (0..len).map(|_| r.random_range(-1.0..1.0)).collect()
}

fn decoded(onnx: &Onnx) -> (proto::Model, proto::Graph) {
    let file = proto::Model::decode(onnx.bytes.as_slice()).unwrap();
    let graph = file.graph.clone().unwrap();
    (file, graph)
}

#[test]
fn every_network_is_a_graph_that_reads_what_is_there_and_holds_every_weight_once() {
    for (name, architecture, grid) in architectures() {
        let model = model(architecture, grid, Target::Classes);
        let onnx = Onnx::of(&model, None).unwrap();
        let (_, graph) = decoded(&onnx);

        let held: BTreeMap<&str, &proto::Tensor> =
            graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        assert_eq!(held.len(), graph.initializer.len(), "{name}");
        let mut there: BTreeSet<&str> = held.keys().copied().chain([IMAGE]).collect();
        let mut read = BTreeSet::new();
        for node in &graph.node {
            for input in node.input.iter().filter(|input| !input.is_empty()) {
                assert!(there.contains(input.as_str()), "{name}: {} reads {input}", node.name);
                read.insert(input.as_str());
            }
            let new = node.output.iter().all(|output| there.insert(output));
            assert!(new, "{name}: {} makes what is there", node.name);
        }
        // What no edge of a node reads is made in vain, here as in a forward pass. Nothing is held so.
        assert!(there.contains(LOGITS), "{name}");
        assert!(read.contains(IMAGE) && held.keys().all(|tensor| read.contains(tensor)), "{name}");
        assert_eq!(graph.node.len(), onnx.nodes);

        let mut scalars = 0;
        for (_, weight) in model.weights.iter() {
            let values = weight.value.clone().into_data().try_into_vec::<f32>().unwrap();
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            assert!(held[weight.name.as_str()].raw_data == bytes, "{name}: {}", weight.name);
            scalars += values.len();
        }
        assert_eq!(scalars, onnx.scalars, "{name}");
    }
}

#[test]
fn the_same_model_is_the_same_file_and_its_axes_are_free_or_fixed() {
    let model = model(Architecture::UResNetHalf, Grid::ISOTROPIC, Target::Classes);
    let free = Onnx::of(&model, None).unwrap();
    assert_eq!(free, Onnx::of(&model, None).unwrap());
    let fixed = Onnx::of(&model, Some([8, 16, 32])).unwrap();
    assert_eq!((free.window, fixed.window), (PATCH, [8, 16, 32]));
    let axes = |onnx: &Onnx| {
        let info = decoded(onnx).1.input.swap_remove(0);
        let shape = info.kind.unwrap().tensor_type.unwrap().shape.unwrap();
        shape.dim.into_iter().map(|axis| axis.dim_value.ok_or(axis.dim_param)).collect::<Vec<_>>()
    };
    let named = |name: &str| Err(Some(name.to_string()));
    let free_axes = [named("batch"), Ok(2), named("depth"), named("height"), named("width")];
    assert_eq!(axes(&free), free_axes);
    assert_eq!(axes(&fixed), [Ok(1), Ok(2), Ok(8), Ok(16), Ok(32)]);
    let error = Onnx::of(&model, Some([8, 12, 32])).unwrap_err().to_string();
    assert!(error.contains("multiples of 8, 8 and 8"), "{error}");
}

#[test]
fn the_metadata_say_what_prediction_takes_and_name_no_case() {
    let of = |target| {
        let model = model(Architecture::UResNetHalf, Grid::ISOTROPIC, target);
        let (file, _) = decoded(&Onnx::of(&model, None).unwrap());
        assert_eq!(file.metadata_props[0].key, KEY);
        assert!(!file.metadata_props[0].value.contains("patient"));
        serde_json::from_str::<Value>(&file.metadata_props[0].value).unwrap()
    };
    let classes = of(Target::Classes);
    let expected = json!([
        { "name": "T1", "nothing": null, "scheme": "z-score" },
        { "name": "CT", "nothing": -500.0, "scheme": "ct", "statistics": null },
    ]);
    assert_eq!(classes["channels"], expected);
    assert_eq!(classes["window"], json!(PATCH));
    assert_eq!(classes["spacing_mm"], json!([2.0, 1.0, 1.0]));
    assert_eq!(classes["activation"], "softmax");
    let mirrorings = json!([[], [1], [2], [1, 2], [3], [1, 3], [2, 3], [1, 2, 3]]);
    assert_eq!(classes["mirrorings"], mirrorings);
    assert_eq!(classes["largest_component"], json!([{ "classes": [2], "become_classes": [0] }]));

    let region = |name: &str, classes: &[u8], written| medvol::Region {
        name: name.into(),
        classes: classes.to_vec(),
        written,
    };
    let regions = of(Target::Regions(vec![region("whole", &[1, 2], 1), region("core", &[2], 2)]));
    assert_eq!(regions["activation"], "sigmoid");
    assert_eq!(regions["threshold"], 0.5);
    assert_eq!(regions["regions"][1], json!({ "name": "core", "classes": [2], "written": 2 }));
    assert_eq!(regions["largest_component"], json!([{ "classes": [2], "become_classes": [1] }]));
}

#[test]
#[ignore = "needs a Python with onnx, onnxruntime and openvino, which SCNAS_JUDGE_PYTHON names"]
fn onnxruntime_and_openvino_say_what_we_say() {
    let python = std::env::var("SCNAS_JUDGE_PYTHON").expect("SCNAS_JUDGE_PYTHON");
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (n, (name, architecture, grid)) in architectures().into_iter().enumerate() {
        let model = model(architecture, grid, Target::Classes);
        // Free axes, and on every third network fixed ones.
        let patch = (n % 3 == 2).then_some(PATCH);
        let file = folder.path().join(name).join("net.onnx");
        std::fs::create_dir(folder.path().join(name)).unwrap();
        std::fs::write(&file, Onnx::of(&model, patch).unwrap().bytes).unwrap();
        let window = random(2 * PATCH.iter().product::<usize>(), n as u64);
        Sample::of(&model, window, PATCH).unwrap().write(&file).unwrap();
        files.push(file);
    }
    let script =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/judge_onnx.py");
    let judged = Command::new(python).arg(script).args(&files).output().unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}{}", String::from_utf8_lossy(&judged.stderr));
    println!("{said}");
}
