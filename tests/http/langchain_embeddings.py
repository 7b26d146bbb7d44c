# LangChain's own acceptance tests for a provider of embeddings, against the server at SCONCE_TEST_URL.
import os

from langchain_openai import OpenAIEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests


class TestSconce(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self):
        return {
            "base_url": os.environ["SCONCE_TEST_URL"],
            "api_key": "none",
            "model": "minilm",
            # Otherwise it cuts texts by the tokens of OpenAI's models, and sends those.
            "check_embedding_ctx_length": False,
        }
