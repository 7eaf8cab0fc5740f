from omegaconf import OmegaConf

from accord.sweep.launchers import RAY, is_of


def test_only_rays_own_launcher_is_recognized() -> None:
    for name, is_ray in [("ray_launcher.RayLauncher", True), ("ray_aws_launcher.RayAWSLauncher", False)]:
        launcher = OmegaConf.create({"_target_": f"hydra_plugins.hydra_ray_launcher.{name}"})
        assert is_of(launcher, RAY) is is_ray
    assert not is_of(OmegaConf.create({}), RAY)
