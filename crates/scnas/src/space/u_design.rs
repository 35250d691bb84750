//! U-shaped networks designed by hand: a family of which the paper's 3-D U-ResNet is a member.
//! Plain data, as a genotype is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::space::topology::{DEPTH, Upsample};

/// A U-shaped network: an encoder and a decoder of a block a level, joined by skip connections that
/// are added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Encoded", into = "Encoded")]
pub struct UDesign {
    /// Channels at each level, from full size on; whatever `network.width` is.
    pub channels: [usize; DEPTH + 1],
    /// Convolutions of the encoder's block at each level.
    pub encoder: [usize; DEPTH + 1],
    /// Convolutions of the decoder's block at each level but the coarsest.
    pub decoder: [usize; DEPTH],
    /// What blocks are.
    pub block: Block,
    /// Whether what a skip connection carries is weighed by an attention gate.
    pub gates: bool,
    /// Whether class maps of all levels of the decoder are added up.
    pub maps: bool,
    /// How the decoder comes to the next finer grid.
    pub upsample: Upsample,
}

/// What the convolutions of a level are, and how they are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// `x + convolutions(x)`.
    #[default]
    Residual,
    /// `convolutions(x)`.
    Plain,
    /// `x + convolutions(x)`, each depthwise with a 1³ one after it.
    Separable,
}

/// The JSON form: what is left out is as in the U-ResNet.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    channels: [usize; DEPTH + 1],
    #[serde(default = "u_resnet_encoder")]
    encoder: [usize; DEPTH + 1],
    #[serde(default = "u_resnet_decoder")]
    decoder: [usize; DEPTH],
    #[serde(default)]
    block: Block,
    #[serde(default = "yes")]
    gates: bool,
    #[serde(default = "yes")]
    maps: bool,
    #[serde(default)]
    upsample: Upsample,
}

fn u_resnet_encoder() -> [usize; DEPTH + 1] {
    [2; DEPTH + 1]
}

fn u_resnet_decoder() -> [usize; DEPTH] {
    [2, 1, 1]
}

fn yes() -> bool {
    true
}

/// Most channels of a level and most convolutions of a block: beyond them a mistake is likelier than
/// a network.
const MOST: [usize; 2] = [4096, 16];

impl UDesign {
    /// The U-ResNet with a stem of `width` channels, which every level doubles.
    pub fn u_resnet(width: usize) -> Self {
        Self {
            channels: std::array::from_fn(|level| width << level),
            encoder: u_resnet_encoder(),
            decoder: u_resnet_decoder(),
            block: Block::Residual,
            gates: true,
            maps: true,
            upsample: Upsample::Transposed,
        }
    }

    /// The same with a stem of `stem` channels, and all levels narrower or wider by as much.
    pub fn with_stem(&self, stem: usize) -> Self {
        let channels = self.channels.map(|n| (n * stem / self.channels[0].max(1)).max(1));
        Self { channels, ..self.clone() }
    }

    /// The design that a text such as `8` (channels of the stem) or `8,16,32,64` (of all levels)
    /// stands for: a U-ResNet of these channels.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<usize>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
        let design = match numbers?.as_slice() {
            &[width] if width <= MOST[0] => Self::u_resnet(width),
            channels => Self { channels: channels.try_into().ok()?, ..Self::u_resnet(1) },
        };
        design.check().is_ok().then_some(design)
    }

    /// Says what is impossible about it.
    fn check(&self) -> Result<(), String> {
        let [channels, convolutions] = MOST;
        if !self.channels.iter().all(|n| (1..=channels).contains(n)) {
            let found = self.channels;
            return Err(format!("expected 1 to {channels} channels a level, found {found:?}"));
        }
        if !self.encoder.iter().chain(&self.decoder).all(|n| (1..=convolutions).contains(n)) {
            let found = (self.encoder, self.decoder);
            return Err(format!(
                "expected 1 to {convolutions} convolutions a block, found {found:?}"
            ));
        }
        Ok(())
    }
}

impl fmt::Display for UDesign {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { channels, encoder, decoder, block, gates, maps, upsample } = self;
        let block = match block {
            Block::Residual => "residual",
            Block::Plain => "plain",
            Block::Separable => "separable residual",
        };
        let upsample = match upsample {
            Upsample::Transposed => "transposed convolutions",
            Upsample::Trilinear => "linear interpolation",
        };
        write!(
            f,
            "U-shaped network: channels {channels:?} from full size on; {block} blocks of \
             {encoder:?} convolutions in the encoder and {decoder:?} in the decoder; {} on the skip \
             connections; {}; upsampling by {upsample}",
            if *gates { "attention gates" } else { "no gates" },
            if *maps {
                "class maps of all the decoder's levels, added up"
            } else {
                "one class map"
            },
        )
    }
}

impl From<UDesign> for Encoded {
    fn from(design: UDesign) -> Self {
        let UDesign { channels, encoder, decoder, block, gates, maps, upsample } = design;
        Self { channels, encoder, decoder, block, gates, maps, upsample }
    }
}

impl TryFrom<Encoded> for UDesign {
    type Error = String;

    fn try_from(encoded: Encoded) -> Result<Self, String> {
        let Encoded { channels, encoder, decoder, block, gates, maps, upsample } = encoded;
        let design = Self { channels, encoder, decoder, block, gates, maps, upsample };
        design.check().map(|()| design)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_in_the_u_resnet_and_designs_are_read_back() {
        let short: UDesign = serde_json::from_str(r#"{"channels": [8, 16, 32, 64]}"#).unwrap();
        assert_eq!(short, UDesign::u_resnet(8));
        let other = UDesign {
            decoder: [1, 2, 3],
            block: Block::Separable,
            gates: false,
            upsample: Upsample::Trilinear,
            ..short
        };
        let text = serde_json::to_string(&other).unwrap();
        assert_eq!(serde_json::from_str::<UDesign>(&text).unwrap(), other);
    }

    #[test]
    fn channels_are_said_for_the_stem_or_for_all_levels_and_nonsense_is_refused() {
        assert_eq!(UDesign::parse("8"), Some(UDesign::u_resnet(8)));
        assert_eq!(UDesign::parse("6, 12,24,40").unwrap().channels, [6, 12, 24, 40]);
        for bad in ["", "0", "8,16", "8,16,32,64,128", "x", "99999999", "8,16,32,0"] {
            assert_eq!(UDesign::parse(bad), None, "{bad}");
        }
        for bad in [
            r#"{"channels": [8, 16, 32]}"#,
            r#"{"channels": [8, 16, 32, 64], "encoder": [0, 1, 1, 1]}"#,
            r#"{"channels": [8, 16, 32, 64], "gate": true}"#,
        ] {
            assert!(serde_json::from_str::<UDesign>(bad).is_err(), "{bad}");
        }
    }
}
