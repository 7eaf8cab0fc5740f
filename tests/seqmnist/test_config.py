import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from accord.errors import UserError
from accord.files import sha256_json
from accord.settings import flatten, read_yaml
from seqmnist.config import Config, load, validate

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
MISSING = object()


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set, or with MISSING remove, a key given with dots."""
    *parents, last = key.split(".")
    for parent in parents:
        values = values[parent]
    if value is MISSING:
        del values[last]
    else:
        values[last] = value


def changed(values: dict[str, Any], key: str, value: Any) -> Config:
    """The configuration with another value at a key given with dots."""
    others = copy.deepcopy(values)
    put(others, key, value)
    assert others != values
    return validate(others, "changed")


def refusal(values: dict[str, Any]) -> str:
    """The one line that says why values are refused."""
    with pytest.raises(UserError) as caught:
        validate(values, "here")
    (line,) = str(caught.value).splitlines()
    return line


def overrides() -> list[str]:
    """Each option of each group, as Hydra's command line names it."""
    options = []
    for path in sorted(set(CONF.glob("*/*.yaml")) - set(CONF.glob("search/*"))):  # those are for sweeps alone
        group, option = path.parent.name, path.stem
        places = ["cell@cells.rnn", "cell@cells.lstm"] if group == "cell" else [group]
        options += [f"{place}={option}" for place in places]
    return options


@pytest.mark.parametrize("override", overrides())
def test_each_option_of_each_group_is_valid(override: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        values = OmegaConf.to_container(compose("config", overrides=[override]), resolve=True)
    assert isinstance(values, dict)
    config = validate({str(key): value for key, value in values.items()}, override)
    assert list(config.cells) == ["rnn", "lstm"]


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONF)))
def test_configuration_depends_on_nothing_but_its_files(path: Path) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values.pop("hydra", None)  # Hydra's own values, of a sweep alone, may name the time and the job
    text = yaml.safe_dump(values)
    assert [resolver for resolver in ("${now:", "${hydra:", "${hydra.", "${oc.env:") if resolver in text] == []


def test_committed_configuration_loads() -> None:
    config = load(ROOT / "params.yaml")
    assert config.data.counts.train - config.data.validation == 55_000


def test_dumped_configuration_is_the_same_configuration(tiny_config: Config) -> None:
    assert validate(tiny_config.model_dump(), "dump") == tiny_config


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("epochs", "data, sequence, cells, train, tracking, seeds"),
        ("train.epoch", "epochs, batch_size, learning_rate"),
        ("data.counts.validation", "train, test"),
        ("cells.rnn.unit", "type, units, shards, train"),
        ("cells.rnn.train.epoch", "epochs, batch_size, learning_rate"),
    ],
)
def test_unknown_key_is_refused_with_the_keys_known_there(tiny_values: dict[str, Any], key: str, known: str) -> None:
    put(tiny_values, key, 1)
    assert refusal(tiny_values).startswith(f"here: {key}: unknown key; the keys here are {known}")


@pytest.mark.parametrize("key", ["seeds", "train", "train.epochs", "data.files.test_labels.sha256", "cells.lstm.units"])
def test_missing_key_is_refused(tiny_values: dict[str, Any], key: str) -> None:
    put(tiny_values, key, MISSING)
    assert refusal(tiny_values) == f"here: {key}: the key is missing"


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train.epochs", "abc", "valid integer"),
        ("train.epochs", True, "valid integer"),
        ("train.epochs", None, "valid integer"),
        ("train.learning_rate", "0.1", "valid number"),
        ("train.learning_rate", True, "valid number"),
        ("train.schedule", 1, "'constant' or 'cosine'"),
        ("train", "fast", "dictionary"),
        ("cells", [], "dictionary"),
        ("cells.rnn.units", 1.5, "valid integer"),
        ("cells.rnn.train", None, "dictionary"),
        ("cells.rnn.train.epochs", "abc", "valid integer"),
        ("seeds", 42, "list"),
        ("data.https", "https://localhost", "list"),
        ("tracking.uri", 5000, "string"),
    ],
    ids=str,
)
def test_wrong_type_is_refused(tiny_values: dict[str, Any], key: str, value: Any, allowed: str) -> None:
    put(tiny_values, key, value)
    line = refusal(tiny_values)
    assert line.startswith(f"here: {key} = {value!r} is impossible: ")
    assert allowed in line


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train.epochs", -1, "greater than or equal to 1"),
        ("train.epochs", 0, "greater than or equal to 1"),
        ("train.batch_size", 0, "greater than or equal to 1"),
        ("train.batch_size", 51, "1 to 50, the training images"),
        ("train.learning_rate", 0.0, "greater than 0"),
        ("train.learning_rate", float("nan"), "finite"),
        ("train.epsilon", float("inf"), "finite"),
        ("train.schedule", "linear", "'constant' or 'cosine'"),
        ("train.clip_norm", 0.0, "greater than 0"),
        ("train.label_smoothing", 1.5, "less than or equal to 1"),
        ("train.label_smoothing", -0.1, "greater than or equal to 0"),
        ("train.averaging", 1.0, "less than 1"),
        ("train.shift", -1, "greater than or equal to 0"),
        ("train.rotation", 181, "less than or equal to 180"),
        ("train.zoom", 1.0, "less than 1"),
        ("train.shear", 90.0, "less than 90"),
        ("train.beta_1", 1.0, "less than 1"),
        ("train.beta_2", -0.5, "greater than or equal to 0"),
        ("cells.rnn.units", 0, "greater than or equal to 1"),
        ("cells.rnn.type", "mlp", "one of gru, lstm, rnn"),
        ("cells.rnn.shards", 0, "greater than or equal to 1"),
        ("cells.rnn.shards", 11, "1 to 10, the batch size"),
        ("cells.rnn.train.epochs", 0, "greater than or equal to 1"),
        ("cells.rnn.train.learning_rate", float("nan"), "finite"),
        ("cells", {}, "at least 1 item"),
        ("sequence.view", "spiral", "'rows', 'columns', 'pixels' or 'permuted_pixels'"),
        ("data.validation", 0, "greater than or equal to 1"),
        ("data.validation", 60, "1 to 59, to leave training images"),
        ("data.sources", [], "at least 1 item"),
        ("data.name", "../tiny", "pattern"),
        ("data.files.train_images.name", "../train", "pattern"),
        ("data.files.train_images.name", ".train", "pattern"),
        ("data.files.train_images.name", "train\n", "pattern"),
        ("data.files.train_images.name", "-train", "pattern"),
        ("data.files.train_images.name", "tr/ain", "pattern"),
        ("data.files.train_images.name", "x" * 101, "at most 100 characters"),
        ("data.name", "-x", "pattern"),
        ("data.name", "<script>", "pattern"),
        ("data.directory", "", "at least 1 character"),
        ("data.directory", "../elsewhere", "leads out of the repository"),
        ("data.directory", "data/../../elsewhere", "leads out of the repository"),
        ("data.directory", "./..", "leads out of the repository"),
        ("data.directory", "data\0", "can't be printed"),
        ("tracking.uri", "sqlite:///../mlflow.db", "leads out of the repository"),
        ("tracking.uri", "sqlite+pysqlite:///../mlflow.db", "leads out of the repository"),
        ("tracking.uri", "sqlite:///a/%2e%2e/../mlflow.db", "leads out of the repository"),
        ("tracking.uri", "sqlite:///../mlflow.db?mode=ro", "leads out of the repository"),
        ("tracking.uri", "file:///../runs", "leads out of the repository"),
        ("tracking.uri", "../runs", "leads out of the repository"),
        ("tracking.uri", "sqlite:///mlflow\0.db", "can't be printed"),
        ("data.files.train_images.bytes", 0, "greater than or equal to 1"),
        ("data.files.train_images.sha256", "0" * 63, "pattern"),
        ("data.files.train_images.sha256", "G" * 64, "pattern"),
        ("seeds", [], "at least 1 item"),
        ("seeds", [1, 2, 1], "different numbers"),
        ("seeds", list(range(21)), "at most 20 items"),
        ("tracking.experiment", "", "at least 1 character"),
    ],
    ids=str,
)
def test_impossible_value_is_refused(tiny_values: dict[str, Any], key: str, value: Any, allowed: str) -> None:
    put(tiny_values, key, value)
    line = refusal(tiny_values)
    assert line.startswith((f"here: {key} = {value!r} is impossible: ", f"here: {key} = {value} is impossible: "))
    assert allowed in line


@pytest.mark.parametrize(
    "uri",
    [
        "https://ann:secret@mlflow.example.org",
        "postgresql://ann:secret@127.0.0.1/mlflow",
        "postgresql://ann:sec@secret@host:5432/mlflow",
        "https://ann:secret@mlflow.example.org/../x",
    ],
)
def test_a_password_is_refused_and_not_printed(tiny_values: dict[str, Any], uri: str) -> None:
    tiny_values["tracking"]["uri"] = uri
    line = refusal(tiny_values)
    assert line.startswith("here: tracking.uri: the address has a password")
    assert "set MLFLOW_TRACKING_PASSWORD or PGPASSWORD" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.directory", "/elsewhere/../data"),
        ("data.directory", "data/..data"),
        ("data.directory", "a/../b"),
        ("tracking.uri", "sqlite:////elsewhere/mlflow.db"),
        ("tracking.uri", "sqlite:///store/mlflow.db"),
        ("tracking.uri", "http://127.0.0.1:5000"),
        ("tracking.uri", "postgresql://user@host/../runs"),
    ],
    ids=str,
)
def test_a_path_within_the_repository_or_an_absolute_one_is_valid(
    tiny_values: dict[str, Any], key: str, value: Any
) -> None:
    put(tiny_values, key, value)
    assert flatten(validate(tiny_values, "here").model_dump())[key] == value


@pytest.mark.parametrize("name", ["../rnn", "a/b", ".rnn", "-rnn", "rnn\0", "<img>", 'a"b', "x" * 101])
def test_a_cell_s_name_that_is_no_folder_s_is_refused(tiny_values: dict[str, Any], name: str) -> None:
    tiny_values["cells"][name] = tiny_values["cells"]["rnn"]
    assert refusal(tiny_values).startswith(f"here: cells.{name} = {name!r} is impossible: ")


@pytest.mark.parametrize("member", ["../x", "a/../../x", "/etc/passwd", "a/..", "x\0", ""])
def test_a_member_that_is_not_within_the_wheel_is_refused(tiny_values: dict[str, Any], member: str) -> None:
    hashes = dict.fromkeys(("wheel_sha256", "member_sha256"), "0" * 64)
    tiny_values["data"]["pypi"] = {"package": "a", "version": "1", "member": "a/b.gz", **hashes}
    validate(tiny_values, "here")
    tiny_values["data"]["pypi"]["member"] = member
    assert refusal(tiny_values).startswith(f"here: data.pypi.member = {member!r} is impossible: ")


@pytest.mark.parametrize("key", ["train", "cells.rnn", "cells.rnn.train", "data", "tracking", "sequence"])
def test_a_target_for_hydra_is_an_unknown_key_everywhere(tiny_values: dict[str, Any], key: str) -> None:
    put(tiny_values, f"{key}._target_", "os.system")
    assert f"{key}._target_: unknown key" in refusal(tiny_values)


def test_the_environment_is_no_part_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "a secret")
    path = tmp_path / "params.yaml"
    for text in ("a: ${oc.env:SECRET}", "b: oc.env\na: ${${b}:SECRET,default}"):
        path.write_text(text)
        with pytest.raises(UserError) as caught:
            read_yaml(path)
        assert "the environment's SECRET can't be part of the configuration" in str(caught.value)
        assert "a secret" not in str(caught.value)
    assert OmegaConf.create({"a": "${oc.env:SECRET}"}).a == "a secret", "elsewhere it is as it was"


@pytest.mark.parametrize("tag", ["object/apply:os.system [touch marker]", "name:os.system", "module:antigravity"])
def test_yaml_makes_no_python_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text(f"a: !!python/{tag}\n")
    with pytest.raises(UserError, match=r"\A.*params\.yaml can't be read: .+\Z"):
        read_yaml(path)
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_a_cell_can_t_be_named_like_a_reserved_key_of_metrics_json(tiny_values: dict[str, Any]) -> None:
    tiny_values["cells"]["claims"] = tiny_values["cells"]["rnn"]
    assert refusal(tiny_values).startswith("here: cells = claims is impossible: ")


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range_is_refused(tiny_values: dict[str, Any], seed: int) -> None:
    tiny_values["seeds"] = [1, seed]
    assert refusal(tiny_values).startswith(f"here: seeds.1 = {seed} is impossible: ")


def test_source_of_an_unknown_kind_is_refused(tiny_values: dict[str, Any]) -> None:
    tiny_values["data"]["sources"] = ["directory", "ftp"]
    line = refusal(tiny_values)
    assert line.startswith("here: data.sources.1 = 'ftp' is impossible: ")
    assert "'directory', 'https' or 'pypi'" in line


def test_address_of_another_scheme_is_refused(tiny_values: dict[str, Any]) -> None:
    tiny_values["data"]["https"] = ["file:///etc"]
    assert refusal(tiny_values).startswith("here: data.https.0 = 'file:///etc' is impossible: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.label_smoothing", 0),
        ("train.label_smoothing", 1.0),
        ("train.beta_1", 0.0),
        ("train.averaging", 0),
        ("train.shift", 28),
        ("train.rotation", 180.0),
        ("train.clip_norm", 1),
        ("train.batch_size", 50),
        ("data.validation", 49),
        ("cells.rnn.shards", 10),
        ("seeds", [0, 2**32 - 1]),
    ],
    ids=str,
)
def test_value_at_the_edge_of_its_range_is_valid(tiny_values: dict[str, Any], key: str, value: Any) -> None:
    put(tiny_values, key, value)
    assert flatten(validate(tiny_values, "here").model_dump())[key] == value


def test_batch_size_of_one_cell_limits_its_shards(tiny_values: dict[str, Any]) -> None:
    tiny_values["cells"]["lstm"]["train"] = {"batch_size": 1}
    assert "cells.lstm.shards = 2 is impossible: it must be 1 to 1, the batch size" in refusal(tiny_values)


def test_the_first_of_several_mistakes_is_named_and_the_others_are_counted(tiny_values: dict[str, Any]) -> None:
    tiny_values["train"] |= {"epochs": 0, "batch_size": 0}
    line = refusal(tiny_values)
    assert line.startswith("here: train.epochs = 0 is impossible")
    assert line.endswith("(and 1 more)")


@given(schedule=st.text())
def test_refusal_is_one_line_whatever_the_value(tiny_config: Config, schedule: str) -> None:
    values = tiny_config.model_dump()
    values["train"]["schedule"] = f"{schedule}\n\r\x85\u2028"
    assert "train.schedule" in refusal(values)


def test_train_of_replaces_single_values_of_one_cell(tiny_values: dict[str, Any]) -> None:
    tiny_values["cells"]["lstm"]["train"] = {"learning_rate": 0.5, "clip_norm": 2.0}
    config = validate(tiny_values, "here")
    assert config.train_of("rnn") == config.train
    assert config.train_of("lstm") == config.train.model_copy(update={"learning_rate": 0.5, "clip_norm": 2.0})
    assert config.train.learning_rate == 0.001


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"train: [1\n", "line 1"),
        (b"train: 1\ntrain: 2\n", "duplicate key"),
        (b"train: ${nothing}\n", "nothing"),
        (b"- train\n", "mapping"),
        (b"train: caf\xe9\n", "codec can't decode"),
        (b"\x89PNG\r\n\x1a\n\0\0", "can't be read"),
        (b"train: \0\n", "not allowed"),
    ],
    ids=["syntax", "duplicate", "interpolation", "list", "latin-1", "binary", "NUL"],
)
def test_unreadable_file_is_refused_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path} can't be read: ")
    assert reason in line


def test_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml is missing: run `dvc repro`"):
        load(tmp_path / "params.yaml")


def test_empty_file_lacks_every_key(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.touch()
    with pytest.raises(UserError, match=r"params\.yaml: data: the key is missing \(and 5 more\)$"):
        load(path)


def test_read_yaml_resolves_interpolations(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("one: {two: 2}\nthree: ${one.two}\n")
    assert read_yaml(path) == {"one": {"two": 2}, "three": 2}


def test_loaded_configuration_is_the_written_one(tmp_path: Path, tiny_config: Config) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_config.model_dump()))
    assert load(path) == tiny_config


LEAVES: st.SearchStrategy[Any] = st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.just({})
KEYS = st.text(st.characters(exclude_characters="."))
TREES = st.recursive(
    st.dictionaries(KEYS, LEAVES), lambda children: st.dictionaries(KEYS, LEAVES | children), max_leaves=20
)


@given(tree=TREES)
def test_flattened_keys_lead_to_the_values(tree: dict[str, Any]) -> None:
    rebuilt: dict[str, Any] = {}
    for key, value in flatten(tree).items():
        *parents, last = key.split(".")
        place = rebuilt
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    assert rebuilt == tree


@given(tree=TREES)
def test_flattened_values_are_flat(tree: dict[str, Any]) -> None:
    flat = flatten(tree)
    assert flatten(flat) == flat
    assert all(value == {} for value in flat.values() if isinstance(value, dict))


def test_flatten_joins_keys_and_keeps_lists() -> None:
    assert flatten({"a": {"b": {"c": [1, {"d": 2}]}, "e": None}}) == {"a.b.c": [1, {"d": 2}], "a.e": None}


def test_an_unknown_key_with_a_line_break_gives_one_line(tiny_values: dict[str, Any]) -> None:
    tiny_values["train"]["a\nb"] = 1
    with pytest.raises(UserError) as caught:
        validate(tiny_values, "here")
    assert len(str(caught.value).splitlines()) == 1


def test_two_files_of_one_name_are_refused(tiny_values: dict[str, Any]) -> None:
    tiny_values["data"]["files"]["test_labels"]["name"] = tiny_values["data"]["files"]["test_images"]["name"]
    with pytest.raises(UserError, match=r"data\.files\.name = .* is impossible: it must be another one"):
        validate(tiny_values, "here")


def test_batch_size_of_one_cell_is_named_as_its_own(tiny_values: dict[str, Any]) -> None:
    tiny_values["cells"]["rnn"]["train"] = {"batch_size": 99_999}
    with pytest.raises(UserError, match=r"cells\.rnn\.train\.batch_size = 99999"):
        validate(tiny_values, "here")


@pytest.mark.parametrize("content", [b"42\n", b"a: 0x_\n", b"a: &x [*x]\n"], ids=["a number", "no number", "a loop"])
def test_file_that_breaks_the_yaml_parser_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"\A.*params\.yaml can't be read: .+\Z"):
        read_yaml(path)


def test_parameters_have_the_same_names_for_every_cell(tiny_values: dict[str, Any]) -> None:
    configuration = changed(tiny_values, "cells.lstm.train", {"epochs": 9})

    rnn, lstm = (flatten(configuration.parameters_of(cell, 42)) for cell in ("rnn", "lstm"))

    assert list(rnn) == list(lstm)
    assert {name for name in rnn if rnn[name] != lstm[name]} == {"cell.type", "train.epochs"}


def test_parameters_are_those_of_the_contract(tiny_config: Config) -> None:
    names = list(flatten(tiny_config.parameters_of("rnn", 42)))

    assert {"cell.type", "cell.units", "cell.shards", "seed", "sequence.view", "data.name"} <= set(names)
    assert {name for name in names if name.startswith("train.")} == {
        f"train.{key}" for key in tiny_config.train.model_dump()
    }
    assert {name.partition(".")[0] for name in names} == {"cell", "train", "data", "sequence", "seed"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.epochs", 7),
        ("train.clip_norm", 1.0),
        ("cells.rnn.units", 5),
        ("cells.rnn.shards", 3),
        ("cells.rnn.type", "lstm"),
        ("cells.rnn.train", {"learning_rate": 0.5}),
        ("sequence.view", "columns"),
    ],
)
def test_a_recipe_changes_with_what_the_training_depends_on(tiny_values: dict[str, Any], key: str, value: Any) -> None:
    before = validate(tiny_values, "tiny").recipe_of("rnn", 42)

    after = changed(tiny_values, key, value).recipe_of("rnn", 42)

    assert sha256_json(after) != sha256_json(before)


def test_a_recipe_changes_with_the_seed(tiny_config: Config) -> None:
    assert tiny_config.recipe_of("rnn", 1) != tiny_config.recipe_of("rnn", 2)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tracking.experiment", "another"),
        ("tracking.uri", "http://server"),
        ("seeds", [42, 43]),
        ("cells.lstm.units", 5),
        ("cells.lstm.train", {"epochs": 9}),
        ("data.directory", "/elsewhere"),
    ],
)
def test_a_recipe_stays_with_all_else(tiny_values: dict[str, Any], key: str, value: Any) -> None:
    before = validate(tiny_values, "tiny").recipe_of("rnn", 42)

    after = changed(tiny_values, key, value).recipe_of("rnn", 42)

    assert sha256_json(after) == sha256_json(before)


def test_a_recipe_holds_the_values_that_a_cell_replaces(tiny_values: dict[str, Any]) -> None:
    own = changed(tiny_values, "cells.rnn.train", {"learning_rate": 0.5})
    shared = changed(tiny_values, "train.learning_rate", 0.5)

    assert own.recipe_of("rnn", 42) == shared.recipe_of("rnn", 42)
    assert own.recipe_of("lstm", 42) != shared.recipe_of("lstm", 42)
