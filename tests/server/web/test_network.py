from hypothesis import given, settings
from hypothesis import strategies as st

from server.web.network import count_weights
from shared.model import build
from shared.study import Model, Study, Task, Training


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([2, 3]),
    st.lists(st.integers(1, 9), min_size=2, max_size=4),
    st.integers(0, 3),
    st.sampled_from(["instance", "group"]),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_the_count_is_that_of_the_network_that_is_built(
    dimensions: int, channels: list[int], units: int, norm: str, inputs: int, classes: int
) -> None:
    study = Study(
        name="counted",
        task=Task(
            channels=tuple(f"c{k}" for k in range(inputs)), classes=tuple(f"k{k}" for k in range(classes))
        ),
        model=Model.parse(
            {"dimensions": dimensions, "channels": channels, "residual_units": units, "norm": norm}, "test"
        ),
        training=Training(window=(16, 16, 16 if dimensions == 3 else 1)),
    )
    built = build(study)
    assert count_weights(study) == sum(each.numel() for each in built.state_dict().values())
