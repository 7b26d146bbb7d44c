//! The default encoder against what text-embeddings-inference recorded of it.

use std::sync::{LazyLock, Mutex};

use sconce_catalog::Catalog;
use sconce_domain::EncoderText;
use sconce_kernels::Isa;
use sconce_model::{Encoder, EncoderFolder};
use sconce_tests::model_file;
use sconce_text::EncoderTokenizer;

/// Texts, and the beginnings of the vectors that text-embeddings-inference 1.x computed of them, pooled and
/// not normalised: backends/candle/tests/snapshots/test_bert__mini_batch.snap, made by test_bert.rs beside
/// it (Apache-2.0).
const RECORDED: [(&str, [f64; 48]); 2] = [
    (
        "What is Deep Learning?",
        [
            -0.5904484,
            -0.25218195,
            0.14959621,
            0.05505526,
            -0.11826475,
            -0.16704129,
            -0.23318417,
            -0.0704903,
            -0.19961402,
            -0.2959458,
            -0.7729306,
            0.14422165,
            -0.29086623,
            -0.18537273,
            -0.9093197,
            -0.019904744,
            0.02856647,
            0.34820673,
            -1.0033797,
            -0.41697913,
            0.19350834,
            0.40060228,
            -0.39103433,
            -0.18893544,
            0.45299938,
            0.25677818,
            0.17712198,
            -0.3142255,
            0.12515345,
            -0.08413245,
            0.65004975,
            -0.23057863,
            0.18415941,
            0.4963523,
            -0.36540174,
            0.83785826,
            -0.5513201,
            0.103302784,
            0.0940645,
            -0.21010701,
            -0.29487512,
            -0.18855686,
            -0.009985788,
            0.18686627,
            0.9258731,
            0.33936834,
            -0.08204167,
            -0.60297924,
        ],
    ),
    (
        "Deep Learning is...",
        [
            -0.11974101,
            -0.5844457,
            0.34629655,
            -0.24922174,
            -0.33206654,
            -0.20476547,
            -0.14636044,
            -0.21495423,
            0.091791846,
            -0.24933603,
            -0.2792046,
            0.24733767,
            -0.29774117,
            0.3146898,
            -0.52879363,
            0.0061102286,
            0.1900632,
            0.16750965,
            -0.82518905,
            -0.26580805,
            -0.17501947,
            0.22086483,
            -0.16438791,
            -0.37062547,
            0.57108366,
            0.32025096,
            0.29808035,
            -0.27603158,
            0.15451494,
            -0.40962404,
            0.29551056,
            0.15903194,
            -0.18612969,
            0.17952164,
            -0.14390941,
            0.40272313,
            -0.20527533,
            0.13613865,
            -0.020470936,
            0.00003437698,
            -0.16705933,
            0.07439775,
            -0.06595416,
            0.0060240105,
            0.4535567,
            0.20025726,
            -0.0932296,
            -0.34127095,
        ],
    ),
];

/// What `references/encode.py` of sconce-model computes of the same texts in double precision: the recorded
/// numbers are themselves a thousandth off.
const EXACT: [[f64; 12]; 2] = [
    [
        -0.5902371, -0.2523185, 0.1496864, 0.0547878, -0.1180400, -0.1672366, -0.2332384,
        -0.0703206, -0.1992491, -0.2953750, -0.7725824, 0.1442402,
    ],
    [
        -0.1195228, -0.5837011, 0.3465669, -0.2491240, -0.3313932, -0.2042716, -0.1463784,
        -0.2149890, 0.0917121, -0.2489603, -0.2794418, 0.2468731,
    ],
];

struct Session {
    tokenizer: EncoderTokenizer,
    encoder: Mutex<Encoder>,
}

static MINILM: LazyLock<Session> = LazyLock::new(|| {
    let folder = EncoderFolder::open(model_file("all-minilm-l6-v2").unwrap()).unwrap();
    let json = std::fs::read(folder.tokenizer_path()).unwrap();
    Session {
        tokenizer: EncoderTokenizer::from_json(&json).unwrap(),
        encoder: Mutex::new(folder.load(2, Isa::detect()).unwrap()),
    }
});

impl Session {
    fn text(&self, text: &str) -> EncoderText {
        self.tokenizer.frame(&self.tokenizer.tokens(text).unwrap())
    }

    fn encode(&self, texts: &[EncoderText]) -> Vec<Vec<f32>> {
        let texts: Vec<&EncoderText> = texts.iter().collect();
        self.encoder.lock().unwrap().encode(&texts)
    }
}

#[test]
fn the_vectors_of_minilm_are_those_of_text_embeddings_inference() {
    let texts = RECORDED.map(|(text, _)| MINILM.text(text));
    let found = MINILM.encode(&texts);
    for ((text, wanted), found) in RECORDED.iter().zip(&found) {
        let found: Vec<f64> = found.iter().copied().map(f64::from).collect();
        assert_eq!(found.len(), 384);
        let pairs = || found.iter().zip(wanted);
        let difference = pairs().map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        let dot: f64 = pairs().map(|(a, b)| a * b).sum();
        let squares = |it: &[f64]| it.iter().map(|it| it * it).sum::<f64>();
        let cosine = dot / (squares(&found[..48]) * squares(wanted)).sqrt();
        println!("{text}: difference {difference:.2e}, cosine {cosine:.9}");
        assert!(difference < 2e-3, "{text}: {difference}");
        assert!(cosine > 0.999_99, "{text}: {cosine}");
    }
    for (exact, found) in EXACT.iter().zip(&found) {
        for (exact, found) in exact.iter().zip(found) {
            assert!(
                (exact - f64::from(*found)).abs() < 1e-5,
                "{found} for {exact}"
            );
        }
    }
}

#[test]
fn the_vectors_of_the_card_are_those_of_its_model() {
    let catalog = Catalog::builtin();
    let card = catalog.find("all-minilm-l6-v2").unwrap();
    for vector in &card.vectors {
        let text = MINILM.text(&vector.text);
        let tokens: Vec<u32> = text.tokens.iter().map(|it| it.0).collect();
        assert_eq!(tokens, vector.tokens);
        let found = MINILM.encode(&[text]).remove(0);
        for (found, wanted) in found.iter().zip(&vector.begins) {
            assert!(
                (f64::from(*found) - wanted).abs() < 2e-3,
                "{found} for {wanted}"
            );
        }
    }
}

#[test]
fn a_text_of_minilm_has_the_bits_that_it_has_alone() {
    let long = "a word and another, ".repeat(60);
    let texts = ["What is Deep Learning?", &long, "", "Zürich"].map(|it| MINILM.text(it));
    let together = MINILM.encode(&texts);
    for (text, together) in texts.iter().zip(&together) {
        assert_eq!(&MINILM.encode(std::slice::from_ref(text))[0], together);
    }
}
