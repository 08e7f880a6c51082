"""Our own pooling layer keeps what every pooling layer of its kind promises; one test a property."""

from poolaudit.pytest_plugin import conformance


@conformance("digit_reader.layers:GlobalLogSumExpPooling2D", like="global_lse", dims=2)
def test_log_sum_exp_pooling(conformance_result):
    pass
