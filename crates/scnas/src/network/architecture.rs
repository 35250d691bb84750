//! What a network can be: one of the search space, or a control that people designed. Everything
//! that trains a fixed network, predicts with it or tells its cost goes through [`Architecture`] and
//! [`Segmenter`].

use std::fmt;

use burn::tensor::{Device, Tensor};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Error;
use crate::network::cells::Network;
use crate::network::cost::Cost;
use crate::network::layout::Layout;
use crate::network::medium::{Medium, Symbol};
use crate::network::mixture::Mixture;
use crate::network::size::Size;
use crate::network::u_net::UNet;
use crate::network::weights::Pass;
use crate::space::genotype::Genotype;
use crate::space::u_design::UDesign;

/// The architecture of a fixed network, apart from its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Architecture {
    /// Cells of the search space. In JSON: the genotype.
    Cells(Genotype),
    /// The 3-D U-ResNet of [`crate::network::u_net`]. In JSON: `"u-resnet"`.
    UResNet,
    /// The same with half the channels. In JSON: `"u-resnet-half"`.
    UResNetHalf,
    /// Any other network of the U family. In JSON: `{"u": {…}}`.
    U(UDesign),
}

/// Key of a design in JSON.
const U: &str = "u";

/// Names of the architectures that people designed.
pub const DESIGNED: [(&str, Architecture); 2] =
    [("u-resnet", Architecture::UResNet), ("u-resnet-half", Architecture::UResNetHalf)];

/// What writes a network down.
pub type Symbols<'a> = dyn Medium<Volume = Symbol> + 'a;

/// A network without its weights' values.
pub trait Segmenter: fmt::Debug + Send + Sync {
    /// The weights it declared.
    fn layout(&self) -> &Layout;

    /// Logits `[batch, classes, depth, height, width]` of `x` `[batch, channels, depth, height,
    /// width]`, whose extents the grids of its layout must divide, with the operations of `mixture`
    /// on the edges, if it has any.
    fn forward(&self, pass: &Pass, x: Tensor<5>, mixture: &Mixture) -> Tensor<5>;

    /// The symbol of the logits of `x`, once the medium has seen all that leads from one to the
    /// other.
    fn trace(&self, medium: &Symbols, x: Symbol, mixture: &Mixture) -> Symbol;

    /// The network as one of cells, if it is one: those can run cell by cell.
    fn cells(&self) -> Option<&Network>;
}

impl Segmenter for Network {
    fn layout(&self) -> &Layout {
        self.layout()
    }

    fn forward(&self, pass: &Pass, x: Tensor<5>, mixture: &Mixture) -> Tensor<5> {
        self.forward(pass, x, mixture)
    }

    fn trace(&self, medium: &Symbols, x: Symbol, mixture: &Mixture) -> Symbol {
        self.forward(medium, x, mixture)
    }

    fn cells(&self) -> Option<&Network> {
        Some(self)
    }
}

impl Segmenter for UNet {
    fn layout(&self) -> &Layout {
        self.layout()
    }

    fn forward(&self, pass: &Pass, x: Tensor<5>, _: &Mixture) -> Tensor<5> {
        self.forward(pass, x)
    }

    fn trace(&self, medium: &Symbols, x: Symbol, _: &Mixture) -> Symbol {
        self.forward(medium, x)
    }

    fn cells(&self) -> Option<&Network> {
        None
    }
}

impl Architecture {
    /// The network, which has declared its weights.
    pub fn build(&self, size: Size) -> Box<dyn Segmenter> {
        match self {
            Self::Cells(genotype) => Box::new(Network::fixed(genotype, size)),
            Self::UResNet | Self::UResNetHalf | Self::U(_) => {
                let design = self.design(size).unwrap_or_else(|| unreachable!("it has no cells"));
                Box::new(UNet::new(&design, size))
            }
        }
    }

    /// What its network runs with: one operation an edge.
    pub fn mixture(&self) -> Mixture {
        match self {
            Self::Cells(genotype) => Mixture::of(genotype),
            Self::UResNet | Self::UResNetHalf | Self::U(_) => Mixture::none(),
        }
    }

    /// The same for a step of training that leaves out operations with this probability
    /// ([`Mixture::dropped`]), where there are cells.
    pub fn dropped(&self, share: f64, device: &Device, rng: &mut impl Rng) -> Mixture {
        match self {
            Self::Cells(genotype) if share > 0.0 => Mixture::dropped(genotype, share, device, rng),
            _ => self.mixture(),
        }
    }

    /// Cost of one forward pass over a patch `[depth, height, width]`.
    pub fn cost(&self, size: Size, patch: [usize; 3]) -> Cost {
        Cost::of(self.build(size).layout(), patch)
    }

    /// The designed architecture of that name.
    pub fn designed(name: &str) -> Option<Self> {
        DESIGNED
            .into_iter()
            .find_map(|(known, architecture)| (known == name).then_some(architecture))
    }

    /// The genotype, of an architecture of cells.
    pub fn genotype(&self) -> Option<&Genotype> {
        match self {
            Self::Cells(genotype) => Some(genotype),
            Self::UResNet | Self::UResNetHalf | Self::U(_) => None,
        }
    }

    /// The member of the U family that it is at this size, if it is one.
    pub fn design(&self, size: Size) -> Option<UDesign> {
        match self {
            Self::Cells(_) => None,
            Self::UResNet => Some(UDesign::u_resnet(size.width)),
            Self::UResNetHalf => Some(UDesign::u_resnet(size.width / 2)),
            Self::U(design) => Some(design.clone()),
        }
    }

    /// Reads `genotype.json`.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be read, [`Error::Invalid`] when it is not an
    /// architecture.
    pub fn read(path: &std::path::Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::file("read", path, e))?;
        serde_json::from_str(&text).map_err(|e| {
            let expected = "a genotype (JSON with \"space\" and \"cells\", as a search writes it), or \
                            {\"u\": …} with a network of the U family";
            Error::invalid(path, expected, e, "give the genotype.json of a finished run")
        })
    }
}

impl From<Genotype> for Architecture {
    fn from(genotype: Genotype) -> Self {
        Self::Cells(genotype)
    }
}

impl From<Architecture> for Value {
    fn from(architecture: Architecture) -> Self {
        match architecture {
            // Plain strings, lists and maps with string keys.
            Architecture::Cells(genotype) => serde_json::to_value(genotype).unwrap_or_default(),
            Architecture::U(design) => json!({ U: design }),
            designed => DESIGNED
                .into_iter()
                .find(|(_, known)| *known == designed)
                .map(|(name, _)| name.into())
                .unwrap_or_default(),
        }
    }
}

impl TryFrom<Value> for Architecture {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(name) => {
                Self::designed(&name).ok_or_else(|| format!("no architecture is called \"{name}\""))
            }
            Value::Object(mut of) if of.len() == 1 && of.contains_key(U) => {
                let design = of.remove(U).unwrap_or_default();
                serde_json::from_value(design).map(Self::U).map_err(|e| e.to_string())
            }
            cells => serde_json::from_value(cells).map(Self::Cells).map_err(|e| e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::topology::Space;

    #[test]
    fn decoding_an_encoded_architecture_gives_it_back_and_a_genotype_is_one() {
        let genotype = Genotype::random(&Space::paper(), 1);
        let other = Architecture::U(UDesign { gates: false, ..UDesign::u_resnet(6) });
        for architecture in
            [genotype.clone().into(), Architecture::UResNet, Architecture::UResNetHalf, other]
        {
            let text = serde_json::to_string(&architecture).unwrap();
            assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), architecture);
        }
        let text = serde_json::to_string(&genotype).unwrap();
        assert_eq!(
            serde_json::from_str::<Architecture>(&text).unwrap(),
            Architecture::Cells(genotype)
        );
        assert!(
            serde_json::from_str::<Architecture>("\"u-net\"")
                .unwrap_err()
                .to_string()
                .contains("u-net")
        );
    }

    #[test]
    fn the_u_resnets_are_members_of_the_u_family() {
        let size = Size { width: 12, ..Size::isotropic(2, 3, 8) };
        for (architecture, width) in [(Architecture::UResNet, 12), (Architecture::UResNetHalf, 6)] {
            let member = Architecture::U(UDesign::u_resnet(width));
            // The width of the settings says nothing to a design.
            let other = Size { width: 64, ..size };
            assert_eq!(architecture.build(size).layout(), member.build(other).layout());
        }
    }

    #[test]
    fn half_the_width_is_a_quarter_of_the_size() {
        let size = Size::isotropic(4, 4, 32);
        let [whole, half] =
            [Architecture::UResNet, Architecture::UResNetHalf].map(|a| a.cost(size, [128; 3]));
        let ratio = half.parameters as f64 / whole.parameters as f64;
        assert!((ratio - 0.25).abs() < 0.001, "{ratio}");
    }
}
