from benchmarks.machine import machine, slug, title, versions

EPYC = {"processor": "AMD EPYC", "avx512": True, "cores": 2}


def test_the_machine_is_described_without_a_path() -> None:
    described = machine()
    assert described["cores"] >= 1
    assert described["tensorflow"]
    assert not any("/" in str(value) for value in described.values())


def test_names_of_machines_tell_avx512_and_the_number_of_cores() -> None:
    assert title(EPYC) == "AMD EPYC with AVX-512, 2 cores"
    assert slug(EPYC) == "amd-epyc-avx512-2-cores"
    assert slug(EPYC | {"avx512": False}) == "amd-epyc-2-cores"
    assert slug(EPYC | {"cores": 8}) == "amd-epyc-avx512-8-cores"


def test_a_processor_name_is_made_fit_for_a_file_name() -> None:
    described = {"processor": "Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", "avx512": False, "cores": 4}
    assert slug(described) == "intel-core-i7-8550u-cpu-1-80ghz-4-cores"


def test_versions_name_only_installed_libraries() -> None:
    assert versions(EPYC | {"python": "3.11", "torch": "2.13"}) == "python 3.11, torch 2.13"
