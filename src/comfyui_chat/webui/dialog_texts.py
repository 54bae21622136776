"""The words of the dialogs over the chat, in every language that users read: data for page_dialog."""

from collections.abc import Mapping

# Every text, by its name and language.
DIALOG_TEXTS: Mapping[str, Mapping[str, str]] = {
    "cancel": {
        "en": "Cancel", "de": "Abbrechen", "fr": "Annuler", "es": "Cancelar", "pt": "Cancelar", "it": "Annulla",
        "ja": "キャンセル", "ko": "취소", "zh": "取消",
    },
    "sending": {
        "en": "Sending …", "de": "Wird gesendet …", "fr": "Envoi …", "es": "Enviando …", "pt": "Enviando …",
        "it": "Invio …", "ja": "送信しています…", "ko": "보내는 중…", "zh": "正在发送…",
    },
    "silent": {
        "en": "The connection to Open WebUI is interrupted. Nothing here is lost; it goes on by itself.",
        "de": "Die Verbindung zu Open WebUI ist unterbrochen. Hier geht nichts verloren; es geht von selbst weiter.",
        "fr": "La connexion à Open WebUI est interrompue. Rien n'est perdu ici ; cela reprendra tout seul.",
        "es": "La conexión con Open WebUI está interrumpida. Aquí no se pierde nada; seguirá por sí solo.",
        "pt": "A conexão com o Open WebUI foi interrompida. Nada se perde aqui; continua sozinho.",
        "it": "La connessione a Open WebUI è interrotta. Qui non si perde nulla; riprende da sé.",
        "ja": "Open WebUI との接続が切れています。ここの内容は失われず、自動的に再開します。",
        "ko": "Open WebUI와의 연결이 끊겼습니다. 여기 있는 것은 사라지지 않으며 저절로 이어집니다.",
        "zh": "与 Open WebUI 的连接已中断。这里的内容不会丢失，会自动继续。",
    },
    "lost": {
        "en": "The connection was lost for too long, and the chat went on without an answer. Close this and ask again.",
        "de": "Die Verbindung war zu lange weg, und der Chat ging ohne Antwort weiter. Schließen Sie dies, und "
        "fragen Sie noch einmal.",
        "fr": "La connexion a été perdue trop longtemps, et la discussion a continué sans réponse. Fermez ceci et "
        "redemandez.",
        "es": "La conexión se perdió demasiado tiempo y el chat siguió sin respuesta. Cierra esto y vuelve a pedirlo.",
        "pt": "A conexão ficou perdida por muito tempo e o chat continuou sem resposta. Feche isto e peça de novo.",
        "it": "La connessione è mancata troppo a lungo e la chat è andata avanti senza risposta. Chiudi e "
        "chiedi di nuovo.",
        "ja": "接続が長く切れていたため、チャットは回答なしで進みました。閉じて、もう一度頼んでください。",
        "ko": "연결이 너무 오래 끊겨 답 없이 대화가 진행되었습니다. 닫고 다시 요청하세요.",
        "zh": "连接中断太久，对话已在没有回答的情况下继续。请关闭此窗口并重新提出。",
    },
    "close": {
        "en": "Close", "de": "Schließen", "fr": "Fermer", "es": "Cerrar", "pt": "Fechar", "it": "Chiudi",
        "ja": "閉じる", "ko": "닫기", "zh": "关闭",
    },
    "pick": {
        "en": "A click or its number chooses", "de": "Ein Klick oder die Nummer wählt",
        "fr": "Un clic ou son numéro choisit", "es": "Elige con un clic o con su número",
        "pt": "Escolha com um clique ou pelo número", "it": "Scegli con un clic o con il numero",
        "ja": "クリックか番号で選びます", "ko": "클릭하거나 번호로 고르세요", "zh": "点击或按编号选择",
    },
    "unanswered": {
        "en": "Without an answer within {minutes} minutes: {name}",
        "de": "Ohne Antwort innerhalb von {minutes} Minuten: {name}",
        "fr": "Sans réponse dans les {minutes} minutes : {name}",
        "es": "Sin respuesta en {minutes} minutos: {name}",
        "pt": "Sem resposta em {minutes} minutos: {name}", "it": "Senza risposta entro {minutes} minuti: {name}",
        "ja": "{minutes}分以内に選ばない場合：{name}", "ko": "{minutes}분 안에 고르지 않으면: {name}",
        "zh": "{minutes}分钟内未选择则使用：{name}",
    },
    "more": {
        "en": "{count} more fit.", "de": "{count} weitere passen.", "fr": "{count} autres correspondent.",
        "es": "Hay {count} más que encajan.", "pt": "Há mais {count} que servem.", "it": "Altri {count} corrispondono.",
        "ja": "ほかに{count}件あります。", "ko": "{count}개가 더 있습니다.", "zh": "还有{count}个符合。",
    },
    # The editor for masks.
    "paint": {
        "en": "Paint over what is to change", "de": "Übermalen Sie, was sich ändern soll",
        "fr": "Peignez ce qui doit changer", "es": "Pinta sobre lo que debe cambiar",
        "pt": "Pinte sobre o que deve mudar", "it": "Dipingi su ciò che deve cambiare",
        "ja": "変えたい部分を塗ってください", "ko": "바꿀 곳을 칠하세요", "zh": "涂抹要更改的部分",
    },
    "zoom": {
        "en": "Two fingers or the wheel zoom", "de": "Zwei Finger oder das Mausrad zoomen",
        "fr": "Deux doigts ou la molette pour zoomer", "es": "Dos dedos o la rueda amplían",
        "pt": "Dois dedos ou a roda ampliam", "it": "Due dita o la rotella ingrandiscono",
        "ja": "二本の指かホイールで拡大します", "ko": "두 손가락이나 휠로 확대합니다", "zh": "双指或滚轮缩放",
    },
    "keys": {
        "en": "The arrow keys move the brush, Space puts it down and lifts it",
        "de": "Die Pfeiltasten bewegen den Pinsel, die Leertaste setzt ihn auf und hebt ihn ab",
        "fr": "Les flèches déplacent le pinceau, Espace le pose et le lève",
        "es": "Las flechas mueven el pincel, Espacio lo apoya y lo levanta",
        "pt": "As setas movem o pincel, Espaço o abaixa e o levanta",
        "it": "Le frecce muovono il pennello, Spazio lo abbassa e lo alza",
        "ja": "矢印キーでブラシを動かし、スペースで下ろしたり上げたりします",
        "ko": "화살표 키로 붓을 움직이고 스페이스로 내리거나 듭니다",
        "zh": "方向键移动画笔，空格键落笔和抬笔",
    },
    "nothing": {
        "en": "Nothing is painted yet", "de": "Noch ist nichts gemalt", "fr": "Rien n'est encore peint",
        "es": "Todavía no hay nada pintado", "pt": "Ainda não há nada pintado", "it": "Non c'è ancora nulla di dipinto",
        "ja": "まだ何も塗られていません", "ko": "아직 칠한 곳이 없습니다", "zh": "还没有涂抹任何部分",
    },
    "brush": {
        "en": "Brush", "de": "Pinsel", "fr": "Pinceau", "es": "Pincel", "pt": "Pincel", "it": "Pennello",
        "ja": "ブラシ", "ko": "붓", "zh": "画笔",
    },
    "eraser": {
        "en": "Eraser", "de": "Radierer", "fr": "Gomme", "es": "Goma", "pt": "Borracha", "it": "Gomma",
        "ja": "消しゴム", "ko": "지우개", "zh": "橡皮",
    },
    "size": {
        "en": "Size", "de": "Größe", "fr": "Taille", "es": "Tamaño", "pt": "Tamanho", "it": "Misura",
        "ja": "太さ", "ko": "크기", "zh": "大小",
    },
    "undo": {
        "en": "Undo", "de": "Zurück", "fr": "Annuler un pas", "es": "Deshacer", "pt": "Desfazer", "it": "Indietro",
        "ja": "元に戻す", "ko": "되돌리기", "zh": "撤销",
    },
    "clear": {
        "en": "Clear", "de": "Leeren", "fr": "Effacer", "es": "Vaciar", "pt": "Limpar", "it": "Svuota",
        "ja": "全消去", "ko": "모두 지우기", "zh": "清空",
    },
    "invert": {
        "en": "Invert", "de": "Umkehren", "fr": "Inverser", "es": "Invertir", "pt": "Inverter", "it": "Inverti",
        "ja": "反転", "ko": "반전", "zh": "反选",
    },
    "done": {
        "en": "Done", "de": "Fertig", "fr": "Terminé", "es": "Listo", "pt": "Pronto", "it": "Fatto",
        "ja": "完了", "ko": "완료", "zh": "完成",
    },
}  # fmt: skip


def dialog_words(language: str) -> dict[str, str]:
    """All these texts in one language, by their names."""
    return {name: texts[language] for name, texts in DIALOG_TEXTS.items()}
