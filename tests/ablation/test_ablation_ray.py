"""Trials on a real Ray cluster of two nodes; one node is killed while it trains."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from small_grid import filled, outputs, specs

from poolaudit.ablation.executors.executor import TrialDone
from poolaudit.ablation.executors.names import make_executor
from poolaudit.errors import MissingExtraError
from poolaudit.store.trials import TrialStore


def test_without_ray_the_pip_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'poolaudit\[ray\]'"):
        make_executor("ray", TrialStore(tmp_path), None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_nodes_train_and_one_may_die(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    from poolaudit.ablation.executors.ray import RayExecutor

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    try:
        cluster.wait_for_nodes()
        path = [str(Path(__file__).parent), *sys.path]
        ray.init(
            address=cluster.address,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": ":".join(path), "OMP_NUM_THREADS": "1"}},
        )
        store, data = filled(tmp_path)
        wanted = specs(data, seeds=3, epochs=30)
        done: list[TrialDone] = []

        def kill_the_second() -> None:
            time.sleep(15)
            cluster.remove_node(second, allow_graceful=False)

        threading.Thread(target=kill_the_second, daemon=True).start()
        with RayExecutor(store, workers=2) as executor:
            executor.run(wanted, lambda event: done.append(event) if isinstance(event, TrialDone) else None)
        assert sorted(event.spec.key for event in done) == sorted(spec.key for spec in wanted)
        assert {event.trial.facts["outcome"] for event in done} == {"finished"}
        assert len(outputs(store, wanted)) == len(wanted) == len(store)
        assert len(ray.nodes()) == 2
        assert sum(node["Alive"] for node in ray.nodes()) == 1, "the node was killed while trials ran"
    finally:
        ray.shutdown()
        cluster.shutdown()
