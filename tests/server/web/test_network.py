from hypothesis import given, settings
from hypothesis import strategies as st

from server.web.network import count_weights
from shared.model import build
from shared.study import Model, Study, Task, Training

MODELS = st.builds(
    Model,
    dimensions=st.sampled_from([2, 3]),
    channels=st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple),
    residual_units=st.integers(0, 3),
    norm=st.sampled_from(["instance", "group"]),
)


@settings(max_examples=25, deadline=None)
@given(MODELS, st.integers(1, 3), st.integers(1, 3))
def test_the_count_is_that_of_the_network_that_is_built(model: Model, inputs: int, classes: int) -> None:
    task = Task(
        channels=tuple(f"c{k}" for k in range(inputs)), classes=tuple(f"k{k}" for k in range(classes))
    )
    window = (16, 16, 16 if model.dimensions == 3 else 1)
    study = Study(name="counted", task=task, model=model, training=Training(window=window))
    built = build(study)
    assert count_weights(study) == sum(each.numel() for each in built.state_dict().values())
