"""Words for made-up archives: everyday vocabulary of several languages, and as many made words beside them as a real
archive has rare ones."""

from __future__ import annotations

from random import Random
from typing import Final

#: Language, its share of messages, whether words are parted by blanks, frequent words first.
LANGUAGES: Final[tuple[tuple[str, float, bool, str], ...]] = (
    (
        "en",
        0.46,
        True,
        "the to you and is at we it in for on be can not this will tomorrow today have meeting please report time when"
        " train back thanks good morning call later bridge boat team plan ready signal north route weather harbour"
        " engine fuel lunch office ticket photo list change draft review question answer delay early late station"
        " window garden letter number family doctor market river mountain evening breakfast camera battery radio",
    ),
    (
        "de",
        0.14,
        True,
        "die der und ist nicht wir das auf mit morgen heute bitte danke haben kommt später Treffen Bericht Zeit Zug"
        " fährt Brücke Wetter Schlüssel über schön für können möchte Straße Größe Übung Büro Hafen Mittag Gruß",
    ),
    (
        "fr",
        0.10,
        True,
        "le la et est pas nous vous les demain merci réunion rapport quand train très bien être déjà fenêtre garçon"
        " château façade dîner météo départ arrivée équipe voilà près après où ça été leçon",
    ),
    (
        "ru",
        0.07,
        True,
        "и не на что мы это завтра сегодня встреча отчёт поезд мост погода спасибо пожалуйста время команда план"
        " хорошо утро вечер письмо вопрос ответ дорога река",
    ),
    ("el", 0.03, True, "και το είναι δεν αύριο σήμερα συνάντηση τρένο γέφυρα καιρός ευχαριστώ καλημέρα ομάδα σχέδιο"),
    (
        "ar",
        0.05,
        True,
        "في من على غدا اليوم اجتماع تقرير قطار جسر الطقس شكرا من فضلك الوقت فريق خطة جاهز صباح الخير رسالة سؤال جواب",
    ),
    ("he", 0.02, True, "של על את מחר היום פגישה דוח רכבת גשר תודה בבקשה זמן צוות תוכנית בוקר טוב הודעה שאלה"),
    ("hi", 0.03, True, "है और में कल आज बैठक रिपोर्ट समय ट्रेन पुल मौसम धन्यवाद कृपया दल योजना सुबह संदेश प्रश्न"),
    (
        "zh",
        0.05,
        False,
        "的 我们 明天 今天 会议 报告 时间 火车 桥 天气 谢谢 请 团队 计划 准备 早上 消息 问题 东京",
    ),
    (
        "ja",
        0.03,
        False,
        "は です 明日 会議 報告 時間 電車 橋 天気 ありがとう ください チーム 計画 準備 朝 東京都",
    ),
    ("ko", 0.02, False, "내일 오늘 회의 보고서 시간 기차 다리 날씨 감사합니다 팀 계획 준비 아침 질문 대답 항구"),
)
_SYLLABLES: Final = {
    "ru": "ба ве го ди же за ки ло му не по ра си та",
    "el": "βα γε δι ζο κα λε μι νο πα ρε σι το",
    "ar": "با تي جو حا دي رو سا شي عا في كو لا",
    "he": "בא גי דו הל וי זמ חר טו לי מא נו",
    "hi": "का गि जु ते दो ना पि बु मे रो ला सी",
}
_LATIN: Final = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu za bri cla dre flo gri pla ste tro"
EMOJI: Final = ("🙂", "👍🏽", "🎉", "❤️", "👩🏾‍🚀", "🇩🇪", "🚂", "⛵", "😂", "👨‍👩‍👧‍👦")


def vocabulary(random: Random, language: str, known: str, rare: int) -> list[str]:
    """The words of a language, frequent ones first, with `rare` made ones behind them."""
    syllables = _SYLLABLES.get(language, _LATIN).split()
    words = known.split()
    if language in ("zh", "ja", "ko"):
        # Rare words are pairs of what single words are made of.
        letters = sorted({letter for word in words for letter in word})
        made = {random.choice(letters) + random.choice(letters) for _ in range(rare)}
    else:
        made = {"".join(random.choices(syllables, k=random.randint(2, 4))) for _ in range(rare)}
    return words + sorted(made - set(words), key=lambda word: random.random())
