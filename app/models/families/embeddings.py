"""Models that make embeddings. The first of the sizes is the default."""

from app.models.families.row import row

ROWS = (
    row(
        "titan-embed-2",
        r"amazon\.titan-embed-text-v2",
        "recordings TestBedrock.test_titan_v2_*; AWS user guide, Titan Text Embeddings V2: 1024, 512 or 256",
        {"embeddings": {"member": "inputText", "sizes": (1024, 512, 256)}},
    ),
    row(
        "titan-embed-image",
        r"amazon\.titan-embed-(image|g1-image)",
        "AWS user guide, Titan Multimodal Embeddings G1: 1024, 384 or 256; inputText, inputImage, or both",
        {
            "embeddings": {
                "member": "inputTextOrImage",
                "sizes": (1024, 384, 256),
                "media": frozenset({"image"}),
                "mixed": True,
            }
        },
    ),
    row(
        "titan-embed-1",
        r"amazon\.titan-embed",
        "AWS user guide, Titan Embeddings G1: 1536, and no field but inputText",
        {"embeddings": {"member": "inputText", "sizes": (1536,)}},
    ),
    row(
        "nova-embed",
        r"amazon\.nova-2-multimodal-embeddings",
        "recordings TestBedrock.test_nova_*; AWS user guide, Nova Multimodal Embeddings: 3072, 1024, 384 or 256",
        {
            "embeddings": {
                "member": "singleEmbeddingParams",
                "sizes": (3072, 1024, 384, 256),
                "media": frozenset({"image", "audio", "video"}),
            }
        },
    ),
    row(
        "cohere-embed-4",
        r"cohere\.embed-v4",
        "recordings TestBedrock.test_cohere_v4_*; AWS user guide, Embed v4: 1536, 1024, 512 or 256, 96 texts",
        {
            "embeddings": {
                "member": "texts",
                "sizes": (1536, 1024, 512, 256),
                "batch": 96,
                "media": frozenset({"image"}),
                "mixed": True,
                "mixed_batch": True,
            }
        },
    ),
    row(
        "cohere-embed-3",
        r"cohere\.embed",
        "recordings TestBedrock.test_cohere_v3_*; AWS user guide, Embed v3: 1024, 96 texts",
        {"embeddings": {"member": "texts", "sizes": (1024,), "batch": 96, "media": frozenset({"image"})}},
    ),
    row(
        "marengo-3",
        r"twelvelabs\.marengo-embed-3",
        "AWS user guide, Marengo Embed 3.0: 512; the body is nested, and a text may come with an image",
        {"embeddings": {"member": "inputType", "sizes": (512,), "media": frozenset({"image"}), "mixed": True}},
    ),
    row(
        "marengo-2",
        r"twelvelabs\.marengo-embed-2",
        "AWS user guide, Marengo Embed 2.7: 1024; InvokeModel embeds a text or an image",
        {"embeddings": {"member": "inputType", "sizes": (1024,), "media": frozenset({"image"})}},
    ),
)
