"""The learner that a spec asks for."""

from __future__ import annotations

from pileus.spec.run import AllReduce, LocalSgd, ParameterServer, RunSpec, Single
from pileus.training.device import HOST, Device
from pileus.training.lanes import Lanes
from pileus.training.network import Problem
from pileus.training.seat import Gathering
from pileus.training.strategies.exact import ExactLearner
from pileus.training.strategies.fast import FastLearner
from pileus.training.strategies.local_sgd import LocalLearner
from pileus.training.strategies.parameter_server.learner import ServedLearner
from pileus.training.strategies.ports import Learner


def make_learner(
    spec: RunSpec, problem: Problem, gathering: Gathering, num_lanes: int, device: Device = HOST
) -> Learner:
    """For one worker of a whole gang. Each of them can compute on any device: it is the lanes' matter alone."""
    exchange = gathering.exchange
    match spec.strategy:
        case Single() | AllReduce(mode="exact"):
            return ExactLearner(spec, Lanes(spec, problem, num_lanes, device), exchange)
        case AllReduce():
            return FastLearner(spec, problem, gathering, num_lanes, device)
        case LocalSgd():
            return LocalLearner(spec, Lanes(spec, problem, num_lanes, device), exchange)
        case ParameterServer():
            return ServedLearner(spec, Lanes(spec, problem, num_lanes, device), gathering)
