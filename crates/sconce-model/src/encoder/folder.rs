//! The files of an encoder, which lie beside each other.

use std::path::{Path, PathBuf};

use sconce_kernels::Isa;

use super::Encoder;
use super::config::{self, Config, LimitConfig, PoolingConfig};
use super::spec::EncoderSpec;
use crate::load_error::LoadError;
use crate::safetensors::SafetensorsFile;

/// An encoder's weights and the folder they are in.
#[derive(Debug)]
pub struct EncoderFolder {
    file: SafetensorsFile,
    spec: EncoderSpec,
    tokenizer: PathBuf,
}

impl EncoderFolder {
    /// Opens the weights at `path`, and reads `config.json` and, where they are,
    /// `1_Pooling/config.json` and `sentence_bert_config.json` beside them.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let file = SafetensorsFile::open(path)?;
        let beside = |name: &str| path.with_file_name(name);
        let at = beside("config.json");
        let configuration: Config = config::read(&at)?;
        let pooling_at = beside("1_Pooling/config.json");
        let pooling = match pooling_at.is_file() {
            false => None,
            true => {
                let found: PoolingConfig = config::read(&pooling_at)?;
                let pooling = found.pooling(configuration.hidden());
                Some(pooling.map_err(|fault| fault.in_file(&pooling_at))?)
            }
        };
        let limit_at = beside("sentence_bert_config.json");
        let limit: Option<LimitConfig> = match limit_at.is_file() {
            false => None,
            true => Some(config::read(&limit_at)?),
        };
        let spec = configuration.spec(pooling, limit);
        Ok(Self {
            spec: spec.map_err(|fault| fault.in_file(&at))?,
            tokenizer: beside("tokenizer.json"),
            file,
        })
    }

    /// What the encoder is.
    #[must_use]
    pub fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    /// Where its tokenizer is described.
    #[must_use]
    pub fn tokenizer_path(&self) -> &Path {
        &self.tokenizer
    }

    /// The weights' length.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file.file_bytes()
    }

    /// Bytes that the weights take once they are loaded: what [`Encoder::weight_bytes`] tells then.
    pub fn weight_bytes(&self) -> Result<u64, LoadError> {
        Encoder::bytes_of(&self.file, &self.spec)
    }

    /// Loads the weights, to be computed with on so many threads.
    pub fn load(&self, threads: usize, isa: Isa) -> Result<Encoder, LoadError> {
        Encoder::load(&self.file, self.spec.clone(), (threads, isa))
    }
}
