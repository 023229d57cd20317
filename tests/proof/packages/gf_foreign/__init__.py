"""Conditional networks of somebody else, taken as they are: a signature says how the decoder is called."""

from torch import nn

from ganflow import GanflowError, Signature, hookimpl, key, settings

GANFLOW_CONTRACT = 2


class Judged(nn.Module):
    """The judge, called as ganflow calls a critic; its scores (n, 1)."""

    def __init__(self, judge):
        super().__init__()
        self.judge = judge

    def forward(self, x, label):
        return self.judge(x, label)


def sizes(data, condition, who):
    """Classes, and the side of the images."""
    if condition != ("label",) or not data.main.is_image or data.shape[0] != 1 or data.shape[1] != data.shape[2]:
        raise GanflowError(f"{who} is for square grey images with labels: use data digits, and condition=label")
    return {"n_classes": len(data.fields["label"].classes), "side": data.shape[1]}


@settings
class Decoder:
    """The decoder of digits, by its method `decode`."""

    hidden: int = key(32, "units of the hidden layer", ge=1)
    temperature: float = key(1.0, "factor on z", gt=0)

    @hookimpl
    def generator(self, data, prior, condition):
        from gf_foreign.networks import DigitDecoder

        made = DigitDecoder(prior.shape[0], hidden=self.hidden, **sizes(data, condition, "generator 'digit_decoder'"))
        inputs, constants = {"input": "z", "y": "label"}, {"temperature": self.temperature}
        made.signatures = {"sample": Signature(inputs, "real", method="decode", constants=constants)}
        return made


@settings
class Judge:
    """The judge of digits."""

    hidden: int = key(32, "units of the hidden layer", ge=1)

    @hookimpl
    def critic(self, data, condition):
        from gf_foreign.networks import DigitJudge

        return Judged(DigitJudge(hidden=self.hidden, **sizes(data, condition, "critic 'digit_judge'")))


@hookimpl
def register(offer):
    offer("generator", "digit_decoder", Decoder)
    offer("critic", "digit_judge", Judge)
