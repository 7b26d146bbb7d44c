//! Lists the model cards of `models/`, so that a new card is a file and no line of code.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let models = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../models");
    let mut cards: Vec<PathBuf> = fs::read_dir(&models)?
        .map(|it| it.map(|it| it.path()))
        .collect::<Result<_, _>>()?;
    cards.retain(|path| path.extension().is_some_and(|it| it == "toml"));
    cards.sort();
    let mut list = String::from("&[\n");
    for card in &cards {
        let card = card.canonicalize()?;
        let stem = card.file_stem().unwrap_or_default().to_string_lossy();
        list.push_str(&format!(
            "    ({stem:?}, include_str!({:?})),\n",
            card.to_string_lossy()
        ));
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("cards.rs"), list)?;
    println!("cargo::rerun-if-changed={}", models.display());
    Ok(())
}
