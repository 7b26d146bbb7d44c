//! Who may use whom: each package uses lower layers only.

use cargo_metadata::{DependencyKind, MetadataCommand};

use super::tree::{Offence, root};

/// The layers, lowest first. Packages of one layer never meet.
pub(crate) const LAYERS: &[&[&str]] = &[
    &["sconce-domain"],
    &[
        "sconce-kv",
        "sconce-sampling",
        "sconce-text",
        "sconce-kernels",
        "sconce-catalog",
        "sconce-keys",
        "sconce-limits",
    ],
    &["sconce-scheduler", "sconce-store"],
    &["sconce-engine"],
    &["sconce-pipeline", "sconce-model", "sconce-grammar"],
    &["sconce-http", "sconce-bench"],
    &["sconce"],
    &["sconce-tests", "sconce-benches"],
];

/// A package of the workspace and what its manifest names.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a manifest's dependencies.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) use_at: UseAt,
}

/// When a dependency is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UseAt {
    Run,
    Test,
    Build,
}

/// The workspace's packages, as cargo reads their manifests. Needs no network.
pub(crate) fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata reads the workspace that cargo test runs in");
    let convert = |dependency: &cargo_metadata::Dependency| Dependency {
        name: dependency.name.clone(),
        use_at: match dependency.kind {
            DependencyKind::Development => UseAt::Test,
            DependencyKind::Build => UseAt::Build,
            _ => UseAt::Run,
        },
    };
    let package = |it: &cargo_metadata::Package| Package {
        name: it.name.to_string(),
        dependencies: it.dependencies.iter().map(convert).collect(),
    };
    metadata.packages.iter().map(package).collect()
}

fn layer_of(package: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&package))
}

/// Packages without a layer, and names in the table that are no package.
pub(crate) fn unplaced(packages: &[Package]) -> Vec<Offence> {
    let homeless = packages.iter().filter(|it| layer_of(&it.name).is_none());
    let homeless = homeless.map(|it| Offence::at(&it.name, "stands in no layer"));
    let exists = |name: &&str| packages.iter().any(|it| it.name == **name);
    let phantoms = LAYERS.iter().copied().flatten().filter(|it| !exists(it));
    homeless
        .chain(phantoms.map(|it| Offence::at(*it, "is in the table but no package")))
        .collect()
}

/// Dependencies on the same or a higher layer, dev-dependencies included.
pub(crate) fn upward(packages: &[Package]) -> Vec<Offence> {
    let mut offences = Vec::new();
    for package in packages {
        for dependency in &package.dependencies {
            let (Some(own), Some(other)) = (layer_of(&package.name), layer_of(&dependency.name))
            else {
                continue;
            };
            if other >= own {
                let what = format!(
                    "layer {own} may not depend on {}, layer {other}",
                    dependency.name
                );
                offences.push(Offence::at(&package.name, what));
            }
        }
    }
    offences
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn package(name: &str, dependencies: &[(&str, UseAt)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, use_at)| Dependency {
                name: (*name).to_owned(),
                use_at: *use_at,
            })
            .collect();
        Package {
            name: name.to_owned(),
            dependencies,
        }
    }

    #[test]
    fn a_reversed_edge_is_found() {
        let packages = [
            package(
                "sconce-kv",
                &[("sconce-domain", UseAt::Run), ("sconce-engine", UseAt::Run)],
            ),
            package("sconce-engine", &[("sconce-kv", UseAt::Run)]),
        ];
        assert_eq!(upward(&packages).len(), 1);
    }

    #[test]
    fn siblings_may_not_meet_even_in_tests() {
        let packages = [package("sconce-pipeline", &[("sconce-model", UseAt::Test)])];
        assert_eq!(upward(&packages).len(), 1);
    }

    #[test]
    fn a_new_package_needs_a_layer() {
        let mut names: Vec<&str> = LAYERS.iter().copied().flatten().copied().collect();
        let all = |names: &[&str]| names.iter().map(|it| package(it, &[])).collect::<Vec<_>>();
        assert!(unplaced(&all(&names)).is_empty());
        names.push("sconce-surprise");
        assert_eq!(unplaced(&all(&names)).len(), 1);
        assert_eq!(unplaced(&all(&names[1..])).len(), 2);
    }
}
