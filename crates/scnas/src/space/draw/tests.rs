use super::*;
use crate::space::operation::Kind;
use crate::space::topology::{Space, edge_list};

/// The paper's space, those with shorter and longer names, and that with an architecture per
/// cell.
fn spaces() -> Vec<Space> {
    let named = |length: usize| {
        let text = format!(r#"["zero", {{"name": "{}", "kind": "max-pool"}}]"#, "x".repeat(length));
        Space { operations: serde_json::from_str(&text).unwrap(), ..Space::paper() }
    };
    let mut spaces: Vec<Space> = [1, 6, 12, 20, 35, 80].map(named).into();
    spaces.extend([Space::paper(), Space { share: Share::Cell, ..Space::paper() }]);
    spaces
}

/// Left, top, right, bottom.
type Box = [f64; 4];

fn around([x, y]: Point, half_width: f64, half_height: f64) -> Box {
    [x - half_width, y - half_height, x + half_width, y + half_height]
}

fn overlap(a: Box, b: Box) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[test]
fn no_label_of_the_densest_cell_touches_another_label_a_node_the_frame_or_an_edge_that_is_not_its_own()
 {
    for space in spaces() {
        for operation in space.operations.iter().filter(|o| o.kind != Kind::Zero) {
            let genotype = Genotype::uniform(&space, &operation.name).unwrap();
            let step = step(&space);
            let places: Vec<(Curve, Point)> = (0..EDGES).map(|edge| place(edge, step)).collect();
            // A reduction cell: its labels are the widest.
            let tags: Vec<Box> = (0..EDGES)
                .map(|e| {
                    around(
                        places[e].1,
                        label_width(&label(&space, 0, e, genotype.choices[0][e])) / 2.0,
                        LABEL,
                    )
                })
                .collect();
            let mut nodes: Vec<Box> =
                (0..NODES).map(|n| around([(n + 1) as f64 * step, 0.0], NODE, NODE)).collect();
            nodes.extend(INPUT_Y.map(|y| around([0.0, y], INPUT, NODE)));
            for (edge, &tag) in tags.iter().enumerate() {
                let name = format!("{operation} on {:?}", edge_list()[edge]);
                assert!(tag[1] > EXTENT[0] + 36.0 && tag[3] < EXTENT[1], "{name} leaves the frame");
                assert!(nodes.iter().all(|&node| !overlap(tag, node)), "{name} covers a node");
                for other in (0..EDGES).filter(|&o| o != edge) {
                    assert!(
                        !overlap(tag, tags[other]),
                        "{name} covers the label of {:?}",
                        edge_list()[other]
                    );
                    let crossed = (0..=500).any(|i| {
                        overlap(tag, around(places[other].0.at(f64::from(i) / 500.0), 1.5, 1.5))
                    });
                    assert!(!crossed, "{name} covers {:?}", edge_list()[other]);
                }
            }
        }
    }
}

#[test]
fn every_edge_that_is_not_zero_has_one_label_and_one_arrow() {
    for space in spaces() {
        for seed in 0..5 {
            let genotype = Genotype::random(&space, seed);
            let picture = svg(&genotype);
            let drawn = genotype
                .choices
                .iter()
                .filter(|&&op| space.operations.get(op).kind != Kind::Zero)
                .count();
            assert_eq!(picture.matches("class=\"tag\"").count(), drawn);
            assert_eq!(picture.matches("class=\"casing\"").count(), drawn);
            let strided = picture.matches(" /2</text>").count();
            let expected =
                (0..genotype.choices.architectures()).flat_map(|a| (0..EDGES).map(move |e| (a, e)));
            let expected = expected
                .filter(|&(a, e)| genotype.kind(a, e) != Kind::Zero && strided_in(&genotype, a, e));
            assert_eq!(strided, expected.count());
        }
    }
}

fn strided_in(genotype: &Genotype, arch: usize, edge: usize) -> bool {
    genotype.space.arch_type(arch) == crate::space::topology::CellType::Reduction
        && edge_list()[edge].0 < 2
}

#[test]
fn a_genotype_read_back_is_drawn_the_same() {
    for space in spaces() {
        let genotype = Genotype::random(&space, 7);
        let again = serde_json::from_str(&serde_json::to_string(&genotype).unwrap()).unwrap();
        assert_eq!(svg(&genotype), svg(&again));
    }
}

#[test]
fn tags_are_closed_in_the_order_they_were_opened() {
    for space in spaces() {
        let picture = svg(&Genotype::random(&space, 3));
        let mut open = Vec::new();
        for tag in picture.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            assert!(!text.contains('>'), "{text}");
            let name = tag.split_whitespace().next().unwrap_or_default();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[test]
fn text_with_markup_is_escaped() {
    assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
}
