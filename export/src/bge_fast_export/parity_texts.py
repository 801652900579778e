"""The fixed texts of the verification: one word to longer than any limit, many scripts, odd characters."""

_SENTENCE = "The boundary layer on a flat plate grows with the square root of the distance from its edge. "

PARITY_TEXTS = (
    "pressure",
    "What limits the speed of a wing?",
    _SENTENCE,
    _SENTENCE * 3,
    "a",
    _SENTENCE * 12,
    "天气预报说明天会下雨。",
    "近年来，向量检索在问答系统中得到了广泛应用，尤其是在长文档的场景下。",
    "東京の冬は乾燥していて、空がとても青い。",
    "서울에서 부산까지 기차로 얼마나 걸리나요?",
    "Быстрая лисица перепрыгнула через ленивую собаку, и никто этого не заметил.",
    "Η γρήγορη αλεπού πηδά πάνω από το τεμπέλικο σκυλί.",
    "القطار السريع يصل إلى المحطة في الساعة السابعة صباحا.",
    "הספרייה פתוחה בכל יום עד שמונה בערב.",
    "रेलगाड़ी सुबह सात बजे स्टेशन पर पहुँचती है।",
    "ห้องสมุดเปิดทุกวันจนถึงสองทุ่ม",
    "Où est passée l'œuvre d'Émile? Crème brûlée, naïve façade, cœur.",
    "Größe, Übermaß und Straße: drei Wörter mit Umlauten.",
    "def mean(values):\n    return sum(values) / len(values)\n",
    "3.14159, 1e-12, 0x7f, 2026-01-31, +49 30 1234567, 50 %",
    "!?… — “quoted” (brackets) [and] {more} <tags/> & | ~ ^ \\",
    "🚀 emoji, flags 🇨🇳 and families 👩‍👩‍👧 in one line",
    "donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 2,
    "长文本。" * 200 + _SENTENCE * 20,
)

# Each text beside the one as far from the other end.
PARITY_PAIRS = tuple(zip(PARITY_TEXTS, reversed(PARITY_TEXTS), strict=True))
