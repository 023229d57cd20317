"""Text encoders: what they learn, what is kept of it, what they do not know."""

import pytest
import torch
from ganflow_layers import cache as kept
from ganflow_text.encoders import BagOfWords, Matched, SentenceTransformer
from ganflow_text.encoding.matched import Matched as Encoder
from ganflow_text.encoding.matching import SentenceNet, matching_loss
from ganflow_text.encoding.words import Vocabulary, tokens
from text_helpers import quick

from ganflow.errors import GanflowError
from ganflow.testing import check_component, components


def test_tokens():
    said = "This bird's 2 wings, and its yellow-green crown (it’s small)."
    assert tokens(said) == ["this", "bird's", "2", "wings", ",", "and", "its", "yellow-green", "crown", "it’s", "small"]


def test_vocabulary():
    words = Vocabulary.of(["a red bird", "a blue bird , small"], least=2)
    assert words.words == ("a", "bird")
    assert words.rows(["a red bird", "bird"]).tolist() == [[2, 1, 3], [3, 0, 0]]
    assert words.unknown("a red, RED Bird") == ["red"]
    assert Vocabulary.from_tensor(Vocabulary(["größe", "b"]).tensor()).words == ("größe", "b")
    assert Vocabulary.from_tensor(Vocabulary([]).tensor()).words == ()
    assert words.rows([""]).tolist() == [[0]]


def test_a_sentences_vector_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    net, words = SentenceNet(20, 8, 16), torch.tensor([[2, 3, 4, 0, 0, 0, 0], [5, 6, 7, 8, 9, 10, 11]])
    alone = net(words[:1, :3])
    assert torch.allclose(net(words)[:1], alone, atol=1e-6)
    assert net(torch.zeros(1, 4, dtype=torch.int64)).isfinite().all()


def test_the_matching_loss_is_two_cross_entropies():
    torch.manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(5, 3), dim=1) for _ in range(2))
    scores = 7 * a @ b.T
    own = scores.diagonal()
    expected = ((scores.logsumexp(1) - own).mean() + (scores.logsumexp(0) - own).mean()) / 2
    assert torch.allclose(matching_loss(a, b, 7.0), expected)


def test_learning_leaves_random_numbers_alone_and_is_the_same_each_time(birds):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = birds(quick())
    assert torch.equal(torch.get_rng_state(), before)
    again = quick().encoder()
    again.learn(first.sentences, first.reduced)
    for name, t in first.encoder.state().items():
        assert torch.equal(t, again.state()[name]), name
    other = quick(seed=1).encoder()
    other.learn(first.sentences, first.reduced)
    assert not torch.equal(other.encode(["a red bird"]), again.encode(["a red bird"]))


def test_what_is_learnt_is_kept(birds, cache, monkeypatch):
    first = birds(quick())
    assert len(list(cache.glob("encoder-*"))) == len(list(cache.glob("text-*"))) == 1
    monkeypatch.setattr(Encoder, "learn", lambda *_: pytest.fail("it learns again"))
    second = birds(quick())
    assert torch.equal(first.held_out["text"], second.held_out["text"])
    birds(quick(), size=64)  # Stage II's pictures are larger, and its encoder the same
    for file in cache.iterdir():
        file.write_bytes(b"damaged")
    monkeypatch.undo()
    monkeypatch.setenv("GANFLOW_CACHE", str(cache))
    assert torch.equal(birds(quick()).held_out["text"], first.held_out["text"])


def test_another_encoder_or_other_birds_are_kept_apart(birds, cache):
    for keys in ({}, {"seed": 1}, {"train": 13}, {"captions": 2}):
        birds(**keys)
    birds(quick())
    birds(quick(rate=1e-3))
    assert len(list(cache.glob("encoder-*"))) == 6


def test_where_nothing_can_be_kept_it_is_learnt_each_time(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path / "file"))
    made = [kept.cached("x", "key", lambda: {"t": torch.ones(2)}) for _ in range(2)]
    assert all(torch.equal(m["t"], torch.ones(2)) for m in made)
    (logged,) = caplog.records  # once
    assert logged.name == "ganflow"
    assert f"is not kept in {tmp_path / 'file'}" in logged.getMessage()


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("GANFLOW_CACHE", str(tmp_path))
    assert kept.folder() == tmp_path
    monkeypatch.delenv("GANFLOW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kept.folder() == tmp_path / "ganflow"


def test_unknown_words(birds):
    for encoder in (BagOfWords(), quick()):
        known = birds(encoder).encoder
        assert known.unknown("this bird has a crimson belly and a Crimson, tiny beak") == ["crimson", "tiny", "beak"]


def test_a_bag_of_words_is_standardized_and_knows_no_order(birds):
    data = birds(BagOfWords(words=20), train=60)
    flat = [sentence for said in data.sentences for sentence in said]
    vectors = data.encoder.encode(flat)
    assert vectors.shape[1] == data.encoder.dim <= 20
    assert vectors.mean(0).abs().max() < 1e-4
    assert torch.equal(data.encoder.encode(["a red back and a blue face"]), data.encoder.encode(["a blue back and a red face"]))
    assert not data.encoder.matches
    with pytest.raises(NotImplementedError, match="knows sentences, and no pictures"):
        data.encoder.match(data.held_out["real"], data.held_out["text"])


def test_matching_reaches_the_pictures_only(birds):
    data = birds(quick(), size=64)
    pictures = data.held_out["real"].requires_grad_()
    data.encoder.match(pictures, data.held_out["text"]).backward()
    assert pictures.grad.abs().sum() > 0
    assert all(p.grad is None for p in data.encoder.pictures.parameters())


def test_a_state_of_another_encoder_is_refused(birds):
    with pytest.raises(GanflowError, match="not the state of a matched encoder of 16 numbers"):
        quick().encoder().load_state(birds(quick(dim=8)).encoder.state())
    with pytest.raises(GanflowError, match="not the state of a bag of words"):
        BagOfWords().encoder().load_state({})


def test_a_sentence_transformer_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(GanflowError, match=r"there is no folder .*; it reads a model's folder, and downloads nothing"):
        SentenceTransformer(path=str(tmp_path / "none")).encoder()
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(GanflowError, match=r"needs the library of that name: pip install 'ganflow\[text\]'"):
        SentenceTransformer(path=str(tmp_path)).encoder()


@pytest.mark.rare
def test_matched_learns_which_colour_belongs_to_which_region(birds):
    """A linear map from a sentence's vector finds all colours of combinations that it has never seen."""
    data = birds(Matched(), train=4000, held_out=200)
    full = [i for i, c in enumerate(data.held_out_captions) if len(c[0].named) == 5]
    x = data.encoder.encode([said[0] for said in data.sentences])
    y = torch.nn.functional.one_hot(data.colours, 8).flatten(1).float()
    ones = lambda t: torch.cat((t, torch.ones(len(t), 1)), 1)  # noqa: E731
    solution = torch.linalg.lstsq(ones(x), y, driver="gelsd").solution
    found = (ones(data.held_out["text"][full]) @ solution).view(-1, 5, 8).argmax(2)
    assert (found == data.held_out_colours[full]).float().mean() > 0.85


def test_a_sentence_transformer_from_a_folder(tmp_path):
    transformers, library = pytest.importorskip("transformers"), pytest.importorskip("sentence_transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", "a", "this", "bird", "has", "red", "blue", "is"]
    words += ["with", "back", "and", "green", "grey"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    from sentence_transformers.models import Pooling, Transformer

    parts = Transformer(str(tmp_path / "bert")), Pooling(8)
    library.SentenceTransformer(modules=parts).save(str(tmp_path / "model"))
    (component,) = (c for c in components("text") if c.name == "sentence_transformer")
    check_component(component, path=str(tmp_path / "model"))
    encoder = SentenceTransformer(path=str(tmp_path / "model")).encoder()
    assert encoder.unknown("this bird has a crimson back") == ["crimson"]
    (tmp_path / "model" / "more").write_text("")
    with pytest.raises(GanflowError, match="is another one than the run's"):
        SentenceTransformer(path=str(tmp_path / "model")).encoder().load_state(encoder.state())
