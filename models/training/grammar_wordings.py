"""The wordings of the grammar: what callers say, and what Milo answers.

Template language and rules: see grammar.py.  The scene is a demonstration
office ("birao") in Antananarivo that sells a few things and gives appointments.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wordings:
    """How one intent is said in one language, and what Milo answers."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    reply: str
    #: May be framed by a polite word ("azafady ...", "... tompoko").
    framed: bool = True
    #: Language of the reply, where it is not the caller's.
    reply_language: str | None = None


@dataclass(frozen=True)
class Intent:
    """One thing that a caller wants; `weight` is how often it is drawn."""

    name: str
    mg: Wordings
    fr: Wordings
    weight: float = 1.0


#: Polite words around a wording.
FRAMES = {
    "mg": ("azafady ...", "salama tompoko ...", "allo ...", "... azafady", "... tompoko", "miala tsiny ..."),
    "fr": ("s'il vous plaît ...", "bonjour ...", "allô ...", "... s'il vous plaît", "... merci", "excusez-moi ..."),
}

INTENTS = (
    Intent(
        "greeting",
        Wordings(
            ("salama", "salama (tompoko|milo|daholo)", "manao ahoana (tompoko|milo|daholo|)", "allo (salama|manao ahoana)",
             "miarahaba (anao|tompoko|)", "salama e", "allo"),
            ("allo salama (tompoko|milo)", "miarahaba anao milo", "allo miarahaba"),
            "Salama tompoko. Inona no azoko atao ho anao?", framed=False),
        Wordings(
            ("bonjour", "bonjour (monsieur|madame|milo)", "bonsoir", "allô bonjour", "salut", "allô", "bonsoir milo"),
            ("bonsoir (monsieur|madame)", "allô bonsoir", "salut milo"),
            "Bonjour. Que puis-je faire pour vous ?", framed=False),
        1.5),
    Intent(
        "how_are_you",
        Wordings(
            ("inona no vaovao", "tsara ve ianao", "salama tsara ve ianao", "manao ahoana ny fahasalamanao",
             "manao ahoana ianao", "fahasalamana ahoana"),
            ("salama ve ianao", "inona ny vaovao", "manao ahoana ianao milo"),
            "Salama tsara aho, misaotra. Ary ianao?"),
        Wordings(
            ("comment allez-vous", "ça va", "comment ça va", "vous allez bien"),
            ("comment vous allez", "ça va bien"),
            "Je vais bien, merci. Et vous ?", framed=False)),
    Intent(
        "caller_is_well",
        Wordings(
            ("salama tsara aho", "salama tsara aho misaotra", "tsara fa misaotra", "tsy misy vaovao", "tsara ihany"),
            ("tsara aho misaotra", "salama ihany fa misaotra"),
            "Faly aho mandre izany. Inona no azoko atao ho anao?", framed=False),
        Wordings(
            ("je vais bien", "je vais très bien merci", "ça va merci", "très bien merci"),
            ("je vais bien merci", "ça va très bien"),
            "Je suis content de l'entendre. Que puis-je faire pour vous ?", framed=False)),
    Intent(
        "who_are_you",
        Wordings(
            ("iza ianao", "iza moa ianao", "iza no miteny", "iza no anaranao", "inona ny anaranao", "milo ve ianao"),
            ("iza no anaranao moa", "iza moa no miteny", "ianao ve i milo"),
            "Milo no anarako, mpandray antso ato amin'ny birao."),
        Wordings(
            ("qui êtes-vous", "comment vous appelez-vous", "quel est votre nom", "qui parle", "qui parle donc", "comment vous vous appelez", "vous êtes qui"),
            ("vous vous appelez comment", "qui êtes-vous donc", "c'est quoi votre nom"),
            "Je m'appelle Milo, je réponds au téléphone du bureau.")),
    Intent(
        "machine",
        Wordings(
            ("olona ve ianao", "olona ve ianao sa milina", "milina ve ianao", "milina ve no miteny"),
            ("milina ve ianao sa olona", "olona ve no miteny"),
            "Milina aho, fa vonona hanampy anao."),
        Wordings(
            ("êtes-vous une machine", "vous êtes un robot", "êtes-vous une personne ou une machine",
             "vous êtes une vraie personne"),
            ("êtes-vous un robot", "êtes-vous une vraie personne ou un robot"),
            "Je suis une machine, mais je suis là pour vous aider.")),
    Intent(
        "capabilities",
        Wordings(
            ("inona no azonao atao", "inona ny asanao", "inona avy no azonao atao", "ampio aho", "mila fanampiana aho",
             "te hanontany aho", "inona no fantatrao"),
            ("inona avy no fantatrao", "inona moa ny asanao", "mila ampio aho"),
            "Afaka milaza ny ora sy ny vidiny ary ny adiresy aho, sady manome fotoana."),
        Wordings(
            ("que pouvez-vous faire", "que savez-vous faire", "aidez-moi", "j'ai besoin d'aide", "j'ai une question",
             "à quoi servez-vous", "vous pouvez aider"),
            ("vous pouvez faire quoi", "j'ai besoin de vous", "que savez-vous"),
            "Je peux donner les heures, les prix et l'adresse, et prendre un rendez-vous.")),
    Intent(
        "opening_hours",
        Wordings(
            ("amin'ny firy no misokatra (ny birao|ianareo)", "ora firy no misokatra (ny birao|ianareo)",
             "rahoviana no misokatra (ny birao|ianareo)", "inona ny ora fisokafana", "amin'ny firy no mihidy (ny birao|ianareo)",
             "inona ny ora fisokafan'ny birao", "te hahafantatra ny ora fisokafana aho"),
            ("amin'ny ora firy no misokatra (ny birao|ianareo)", "rahoviana no mihidy ny birao",
             "ora firy ianareo no misokatra", "omeo ahy ny ora fisokafana"),
            "Misokatra amin'ny valo ora maraina ka hatramin'ny dimy ora hariva ny birao."),
        Wordings(
            ("à quelle heure (ouvrez-vous|fermez-vous)", "quels sont vos horaires", "à quelle heure ouvre le bureau",
             "quand est-ce que vous ouvrez", "à quelle heure ferme le bureau", "quels sont les horaires d'ouverture",
             "je voudrais connaître vos horaires"),
            ("quand ouvre le bureau", "à quelle heure est-ce que vous ouvrez", "donnez-moi vos horaires",
             "quels sont les horaires du bureau"),
            "Le bureau est ouvert de huit heures à dix-sept heures."),
        1.6),
    Intent(
        "open_days",
        Wordings(
            ("andro inona no misokatra (ny birao|ianareo)", "inona ny andro fisokafana", "inona avy ny andro fisokafana",
             "isan'andro ve no misokatra ianareo"),
            ("inona ny andro fisokafan'ny birao", "andro inona avy no misokatra ianareo"),
            "Misokatra ny birao, alatsinainy ka hatramin'ny asabotsy."),
        Wordings(
            ("quels jours êtes-vous ouverts", "quels jours ouvrez-vous", "quels sont les jours d'ouverture",
             "êtes-vous ouverts tous les jours"),
            ("ouvrez-vous tous les jours", "quels sont vos jours d'ouverture"),
            "Le bureau est ouvert du lundi au samedi.")),
    Intent(
        "open_on_day",
        Wordings(
            ("misokatra ve (ianareo|ny birao) ny {weekday}", "misokatra ve ny {weekday}",
             "ny {weekday} ve (ianareo|ny birao) misokatra", "mihidy ve (ianareo|ny birao) ny {weekday}",
             "misokatra amin'ny {weekday} ve ianareo"),
            ("ny {weekday} ve misokatra", "misokatra ve ianareo amin'ny {weekday}", "mihidy amin'ny {weekday} ve ianareo"),
            "Eny, misokatra ny birao ny {weekday}."),
        Wordings(
            ("êtes-vous ouverts le {weekday}", "est-ce que vous ouvrez le {weekday}", "le bureau est ouvert le {weekday}",
             "vous êtes ouverts {weekday}", "est-ce ouvert {weekday}"),
            ("est-ce que le bureau est ouvert {weekday}", "vous ouvrez le {weekday}", "ouvrez-vous {weekday}"),
            "Oui, le bureau est ouvert le {weekday}."),
        1.4),
    Intent(
        "price",
        Wordings(
            ("ohatrinona ny {thing}", "ohatrinona ny vidin'ny {thing}", "firy ny vidin'ny {thing}",
             "te hahafantatra ny vidin'ny {thing} aho", "te hividy {thing} aho ohatrinona", "inona ny vidin'ny {thing}",
             "lazao ahy ny vidin'ny {thing}"),
            ("firy ariary ny {thing}", "ohatrinona ny {thing} iray", "omeo ahy ny vidin'ny {thing}",
             "te hividy {thing} aho"),
            "{price} ariary ny {thing}."),
        Wordings(
            ("combien coûte {thing}", "quel est le prix {of_thing}", "{thing} c'est combien",
             "je voudrais connaître le prix {of_thing}", "combien pour {thing}", "c'est combien {thing}",
             "je voudrais acheter {thing}"),
            ("donnez-moi le prix {of_thing}", "{thing} coûte combien", "c'est quoi le prix {of_thing}"),
            "{thing} coûte {price} ariary."),
        2.2),
    Intent(
        "address",
        Wordings(
            ("aiza ny birao", "aiza ianareo", "aiza no misy (ny birao|anareo)", "omeo ahy ny adiresy", "inona ny adiresy",
             "aiza ny adiresin'ny birao", "ahoana no fandehanana any amin'ny birao"),
            ("aiza moa ny birao", "omeo ahy ny adiresin'ny birao", "lazao ahy ny adiresy", "aiza moa ianareo"),
            "Ao Analakely, akaikin'ny tsena, ny birao."),
        Wordings(
            ("où est le bureau", "où êtes-vous", "quelle est votre adresse", "donnez-moi l'adresse", "où se trouve le bureau",
             "comment aller au bureau", "c'est où", "où vous trouvez-vous"),
            ("vous êtes où", "où est votre bureau", "donnez-moi votre adresse", "quelle est l'adresse du bureau"),
            "Le bureau se trouve à Analakely, près du marché."),
        1.4),
    Intent(
        "office_phone",
        Wordings(
            ("inona ny laharan'ny birao", "omeo ahy ny laharan'ny birao", "firy ny laharana findain'ny birao",
             "te hahafantatra ny laharan'ny birao aho"),
            ("lazao ahy ny laharan'ny birao", "firy ny laharan'ny birao"),
            "Ny laharanay dia aotra roa aotra, roa roa, telo telo telo, efatra efatra."),
        Wordings(
            ("quel est votre numéro", "donnez-moi le numéro du bureau", "je voudrais le numéro du bureau",
             "quel est le numéro de téléphone du bureau"),
            ("quel est le numéro du bureau", "donnez-moi votre numéro"),
            "Notre numéro est le zéro deux zéro, deux deux, trois trois trois, quatre quatre.")),
    Intent(
        "payment",
        Wordings(
            ("ahoana no fandoavana", "ahoana no fandoavana vola", "azoko aloa amin'ny (finday|karatra) ve",
             "mandray (karatra|vola) ve ianareo", "azo aloa amin'ny (finday|karatra) ve"),
            ("ahoana no fandoavana ny vola", "mandray finday ve ianareo", "amin'ny (finday|karatra) ve azoko aloa"),
            "Azonao aloa amin'ny vola na amin'ny finday."),
        Wordings(
            ("comment payer", "comment est-ce que je peux payer", "puis-je payer par (carte|téléphone)",
             "vous prenez la carte", "est-ce que je peux payer par (carte|téléphone)"),
            ("je peux payer par (carte|téléphone)", "comment puis-je payer"),
            "Vous pouvez payer en espèces ou par téléphone.")),
    Intent(
        "appointment",
        Wordings(
            ("te haka fotoana aho {day} amin'ny {hour}", "mila fotoana aho {day} amin'ny {hour}",
             "te hanao fotoana aho {day} amin'ny {hour}", "azoko atao ve ny maka fotoana {day} amin'ny {hour}",
             "omeo fotoana aho {day} amin'ny {hour}", "afaka manome fotoana ahy ve ianao {day} amin'ny {hour}",
             "haka fotoana {day} amin'ny {hour}"),
            ("{day} amin'ny {hour} aho te haka fotoana", "mila maka fotoana aho {day} amin'ny {hour}",
             "azoko atao ve ny manao fotoana {day} amin'ny {hour}"),
            "Voaray ny fotoana, {day} amin'ny {hour}. Marina ve izany?"),
        Wordings(
            ("je voudrais un rendez-vous {day} à {hour}", "je veux prendre rendez-vous {day} à {hour}",
             "puis-je avoir un rendez-vous {day} à {hour}", "un rendez-vous {day} à {hour}",
             "est-ce possible {day} à {hour}", "donnez-moi un rendez-vous {day} à {hour}"),
            ("je voudrais prendre rendez-vous {day} à {hour}", "rendez-vous {day} à {hour}",
             "est-ce possible un rendez-vous {day} à {hour}"),
            "C'est noté, {day} à {hour}. Est-ce bien cela ?"),
        3.0),
    Intent(
        "appointment_day",
        Wordings(
            ("te haka fotoana aho {day}", "mila fotoana aho {day}", "te hanao fotoana aho {day}", "{day}", "{day} no tiako",
             "azoko atao ve ny maka fotoana {day}", "omeo fotoana aho {day}"),
            ("{day} aho te haka fotoana", "mila maka fotoana aho {day}", "{day} no azoko"),
            "Eny, {day}. Amin'ny firy no tianao?"),
        Wordings(
            ("je voudrais un rendez-vous {day}", "je veux prendre rendez-vous {day}", "{day}", "plutôt {day}",
             "puis-je avoir un rendez-vous {day}", "un rendez-vous {day}"),
            ("je voudrais prendre rendez-vous {day}", "rendez-vous {day}", "je veux un rendez-vous {day}"),
            "D'accord, {day}. À quelle heure ?"),
        2.0),
    Intent(
        "appointment_hour",
        Wordings(
            ("amin'ny {hour}", "amin'ny {hour} no tiako", "{hour}", "te ho avy amin'ny {hour} aho"),
            ("{hour} no tiako", "amin'ny {hour} aho te ho avy"),
            "Voaray, amin'ny {hour}. Marina ve izany?"),
        Wordings(
            ("à {hour}", "{hour}", "plutôt à {hour}", "vers {hour}"),
            ("à {hour} plutôt", "plutôt vers {hour}"),
            "C'est noté, à {hour}. Est-ce bien cela ?"),
        1.4),
    Intent(
        "appointment_start",
        Wordings(
            ("te haka fotoana aho", "mila fotoana aho", "te hanao fotoana aho", "omeo fotoana aho",
             "azoko atao ve ny maka fotoana", "afaka manome fotoana ahy ve ianao", "maka fotoana"),
            ("mila maka fotoana aho", "azoko atao ve ny manao fotoana", "haka fotoana aho"),
            "Eny tompoko. Andro inona no tianao?"),
        Wordings(
            ("je voudrais un rendez-vous", "je veux prendre rendez-vous", "puis-je avoir un rendez-vous",
             "donnez-moi un rendez-vous", "un rendez-vous", "je voudrais venir au bureau"),
            ("je voudrais prendre rendez-vous", "rendez-vous", "je veux un rendez-vous"),
            "Bien sûr. Quel jour voulez-vous ?"),
        1.2),
    Intent(
        "cancel",
        Wordings(
            ("te hanafoana ny fotoanako aho", "foano ny fotoanako", "tsy ho avy aho", "te hanafoana ny fotoana {day} aho",
             "tsy afaka ho avy aho {day}"),
            ("foano ny fotoana {day}", "tsy ho avy aho {day}", "te hanafoana fotoana aho"),
            "Voafoana ny fotoanao. Misy zavatra hafa ve?"),
        Wordings(
            ("je veux annuler mon rendez-vous", "annulez mon rendez-vous", "je ne peux pas venir",
             "je voudrais annuler le rendez-vous {day}", "je ne peux pas venir {day}"),
            ("je voudrais annuler mon rendez-vous", "annulez le rendez-vous {day}", "je veux annuler"),
            "Votre rendez-vous est annulé. Autre chose ?")),
    Intent(
        "person",
        Wordings(
            ("te hiresaka amin'i {name} aho", "azoko atao ve ny miresaka amin'i {name}", "ampitao amin'i {name} aho",
             "ao ve i {name}", "mila an'i {name} aho", "omeo ahy i {name}", "aiza i {name}"),
            ("te hiteny amin'i {name} aho", "ampitao aho amin'i {name}", "mila miresaka amin'i {name} aho", "ao ve {name}"),
            "Eny, ampitaiko amin'i {name} ianao. Andraso kely."),
        Wordings(
            ("je voudrais parler à {name}", "puis-je parler à {name}", "passez-moi {name}", "est-ce que {name} est là",
             "je veux parler avec {name}", "{name} est là"),
            ("je veux parler à {name}", "je voudrais parler avec {name}", "je voudrais {name}"),
            "Oui, je vous passe {name}. Un instant."),
        1.8),
    Intent(
        "operator",
        Wordings(
            ("te hiresaka amin'olona aho", "mila olona aho", "omeo olona aho", "ampitao amin'ny olona aho",
             "te hiresaka amin'ny mpiasa aho", "tsy te hiresaka amin'ny milina aho"),
            ("azoko atao ve ny miresaka amin'olona", "ampitao amin'ny mpiasa aho", "mila miresaka amin'ny mpiasa aho"),
            "Eny, ampitaiko amin'ny mpiasa ianao. Andraso kely."),
        Wordings(
            ("je voudrais parler à quelqu'un", "passez-moi quelqu'un", "je veux parler à une personne",
             "je voudrais parler à un employé", "je ne veux pas parler à une machine"),
            ("je veux parler à quelqu'un", "puis-je parler à un employé", "passez-moi une personne"),
            "Oui, je vous passe un employé. Un instant.")),
    Intent(
        "my_name",
        Wordings(
            ("{name} no anarako", "i {name} no miantso", "izaho dia i {name}", "i {name} aho", "ny anarako dia {name}",
             "izaho i {name}"),
            ("i {name} no anarako", "{name} no miantso", "i {name} izaho"),
            "Faly mahafantatra anao, {name}. Inona no azoko atao?"),
        Wordings(
            ("je m'appelle {name}", "mon nom est {name}", "je suis {name}", "moi je suis {name}", "ici {name}", "c'est {name}", "{name} à l'appareil"),
            ("moi c'est {name}", "mon nom c'est {name}"),
            "Enchanté, {name}. Que puis-je faire pour vous ?"),
        1.6),
    Intent(
        "my_number",
        Wordings(
            ("ny laharako dia {phone}", "{phone}", "ny laharan'ny findaiko {phone}", "antsoy aho amin'ny {phone}",
             "soraty ny laharako {phone}"),
            ("ny laharako {phone}", "antsoy amin'ny {phone} aho"),
            "Voaray, {phone}. Marina ve izany?", framed=False),
        Wordings(
            ("mon numéro est le {phone}", "{phone}", "rappelez-moi au {phone}", "appelez-moi {phone}", "notez mon numéro {phone}",
             "mon téléphone c'est le {phone}"),
            ("mon numéro c'est le {phone}", "appelez-moi au {phone}", "notez le {phone}"),
            "C'est noté, {phone}. Est-ce bien cela ?", framed=False),
        1.0),
    Intent(
        "code",
        Wordings(
            ("ny kaodiko dia {digits}", "ny kaody dia {digits}", "kaody {digits}", "ny laharan'ny entako dia {digits}",
             "inty ny kaody {digits}"),
            ("inty ny kaodiko {digits}", "ny kaodiko {digits}", "laharan'ny entako {digits}"),
            "Voaray ny kaody {digits}. Marina ve izany?", framed=False),
        Wordings(
            ("mon code est {digits}", "le code est {digits}", "code {digits}", "le numéro de ma commande est {digits}",
             "voici mon code {digits}"),
            ("voici le code {digits}", "mon code c'est {digits}"),
            "C'est noté, code {digits}. Est-ce bien cela ?", framed=False),
        1.4),
    Intent(
        "order",
        Wordings(
            ("aiza ny entako", "tonga ve ny entako", "rahoviana no tonga ny entako", "tsy tonga ny entako",
             "miandry ny entako aho"),
            ("tsy mbola tonga ny entako", "mbola miandry ny entako aho", "aiza moa ny entako"),
            "Lazao ahy azafady ny kaodin'ny entanao."),
        Wordings(
            ("où est ma commande", "ma commande est arrivée", "quand arrive ma commande", "j'attends ma commande",
             "je n'ai pas reçu ma commande"),
            ("ma commande n'est pas arrivée", "où se trouve ma commande", "est-ce que ma commande est arrivée"),
            "Donnez-moi le code de votre commande, s'il vous plaît.")),
    Intent(
        "pay_amount",
        Wordings(
            ("te handoa {amount} ariary aho", "handefa {amount} ariary aho", "te handefa vola {amount} ariary aho",
             "nandoa {amount} ariary aho", "nandefa vola {amount} ariary aho", "misy {amount} ariary ny volako"),
            ("te handefa {amount} ariary aho", "handoa {amount} ariary aho", "nandefa {amount} ariary aho"),
            "Voaray, {amount} ariary. Marina ve izany?"),
        Wordings(
            ("je voudrais payer {amount} ariary", "je veux envoyer {amount} ariary", "j'ai payé {amount} ariary",
             "j'ai envoyé {amount} ariary", "j'ai {amount} ariary"),
            ("je veux payer {amount} ariary", "je voudrais envoyer {amount} ariary"),
            "C'est noté, {amount} ariary. Est-ce bien cela ?"),
        1.8),
    Intent(
        "number",
        Wordings(
            ("{number}", "{number}", "ny isa {number}", "lazao ny isa {number}", "avereno ny isa {number}"),
            ("isa {number}", "avereno {number}"),
            "Henoko ny isa {number}.", framed=False),
        Wordings(
            ("{number}", "{number}", "le nombre {number}", "répétez le nombre {number}", "dites {number}"),
            ("nombre {number}", "répétez {number}"),
            "J'entends le nombre {number}.", framed=False),
        2.2),
    Intent(
        "repeat",
        Wordings(
            ("avereno", "avereno indray", "tsy henoko tsara", "mbola avereno", "inona hoy ianao", "avereno ny teninao",
             "lazao indray"),
            ("mbola lazao", "tsy henoko ny teninao", "avereno tsara", "tsy henoko"),
            "Avereno amin'ny teny hafa ny fanontanianao azafady, dia hamaly aho."),
        Wordings(
            ("répétez", "pouvez-vous répéter", "je n'ai pas entendu", "comment", "vous avez dit quoi", "je n'ai pas compris", "encore"),
            ("vous pouvez répéter", "je n'ai pas bien entendu", "répétez encore"),
            "Posez votre question autrement, et je vous réponds.")),
    Intent(
        "yes",
        Wordings(
            ("eny", "eny tompoko", "eny marina izany", "eny azafady", "ie", "eka", "marina", "marina izany", "eny tsara izany"),
            ("eka tompoko", "ie marina izany", "eka marina", "eny eny"),
            "Tsara, voaray izany. Misy zavatra hafa ve?", framed=False),
        Wordings(
            ("oui", "oui merci", "oui c'est ça", "oui c'est bien ça", "d'accord", "c'est ça", "exactement", "oui bien sûr"),
            ("oui exactement", "oui d'accord", "bien sûr", "c'est bien ça"),
            "Très bien, c'est noté. Autre chose ?", framed=False),
        1.6),
    Intent(
        "no",
        Wordings(
            ("tsia", "tsia tompoko", "tsia tsy izany", "diso izany", "tsia diso izany", "tsy marina izany", "tsia misaotra",
             "tsy misy"),
            ("tsia tsy marina izany", "tsy izany", "tsia tsia", "tsia tsy misy"),
            "Ekena. Inona ary no azoko atao ho anao?", framed=False),
        Wordings(
            ("non", "non merci", "non ce n'est pas ça", "ce n'est pas ça", "non c'est faux", "pas du tout", "rien merci"),
            ("non pas du tout", "c'est faux", "non rien"),
            "D'accord. Que puis-je faire pour vous ?", framed=False),
        1.6),
    Intent(
        "thanks",
        Wordings(
            ("misaotra", "misaotra tompoko", "misaotra betsaka", "misaotra indrindra", "misaotra anao", "misaotra milo"),
            ("misaotra betsaka tompoko", "misaotra anao indrindra", "misaotra anao betsaka"),
            "Tsy misy fisaorana. Misy zavatra hafa ve?", framed=False),
        Wordings(
            ("merci", "merci beaucoup", "merci bien", "je vous remercie", "merci milo"),
            ("merci beaucoup milo", "merci bien madame", "je vous remercie beaucoup"),
            "Je vous en prie. Autre chose ?", framed=False),
        1.2),
    Intent(
        "slower",
        Wordings(
            ("miadana kely", "mitenena miadana", "mitenena miadana kokoa", "haingana loatra ianao"),
            ("miadana kokoa", "mitenena miadana kely", "haingana loatra"),
            "Eny tompoko, hiteny miadana aho."),
        Wordings(
            ("parlez plus lentement", "moins vite", "vous parlez trop vite", "pouvez-vous parler lentement"),
            ("plus lentement", "trop vite", "pouvez-vous parler plus lentement"),
            "Oui, je vais parler plus lentement."), 0.7),
    Intent(
        "louder",
        Wordings(
            ("mafy kokoa", "mitenena mafy", "mitenena mafy kokoa", "tsy re ny feonao", "tsy mandre anao aho"),
            ("mafy kely", "tsy mandre ny feonao aho", "tsy re ianao"),
            "Eny tompoko, hiteny mafy aho."),
        Wordings(
            ("parlez plus fort", "plus fort", "je ne vous entends pas", "je n'entends rien", "je vous entends mal"),
            ("pouvez-vous parler plus fort", "je n'entends pas", "je vous entends très mal"),
            "Oui, je vais parler plus fort."), 0.7),
    Intent(
        "switch_language",
        Wordings(
            ("miteny frantsay ve ianao", "mahay teny frantsay ve ianao", "te hiteny frantsay aho", "mitenena frantsay", "azoko atao ve ny miteny frantsay",
             "amin'ny teny frantsay"),
            ("mahay miteny frantsay ve ianao", "azoko atao ve ny teny frantsay", "teny frantsay no tiako"),
            "Oui, bien sûr. Que puis-je faire pour vous ?", reply_language="fr"),
        Wordings(
            ("parlez-vous malgache", "je voudrais parler malgache", "en malgache", "est-ce que vous parlez malgache",
             "parlez malgache"),
            ("vous parlez malgache", "je veux parler malgache", "je parle malgache"),
            "Eny, mazava ho azy. Inona no azoko atao ho anao?", reply_language="mg"), 0.8),
    Intent(
        "wait",
        Wordings(
            ("andraso kely", "andraso", "miandrasa kely", "andraso aho", "iray minitra", "mbola mitady aho"),
            ("andraso kely aho", "miandrasa", "andraso iray minitra"),
            "Eny tompoko, miandry aho."),
        Wordings(
            ("attendez", "attendez un instant", "un instant", "un petit instant", "une minute", "ne quittez pas"),
            ("attendez une minute", "un instant attendez"),
            "D'accord, j'attends."), 0.8),
    Intent(
        "problem",
        Wordings(
            ("misy olana ny findaiko", "tsy mandeha ny findaiko", "simba ny {thing}", "misy olana aho", "very ny karatra",
             "tsy mandeha ny {thing}"),
            ("simba ny findaiko", "misy olana ny {thing}", "very ny findaiko"),
            "Miala tsiny amin'izany. Ampitaiko amin'ny mpiasa ianao."),
        Wordings(
            ("j'ai un problème", "mon téléphone ne marche pas", "{thing} ne marche pas", "j'ai perdu la carte", "ma carte a un problème",
             "j'ai un problème avec {thing}"),
            ("mon téléphone a un problème", "j'ai perdu mon téléphone", "j'ai un problème avec mon téléphone"),
            "Je suis désolé. Je vous passe un employé.")),
    Intent(
        "out_of_domain",
        Wordings(
            ("iza no filoha", "manao ahoana ny andro any", "misy orana ve anio", "tiako ny mozika", "mihira kely",
             "aiza ny alika", "lazao ahy ny tantara", "inona no hanina anio", "mihinana vary aho",
             "ny zanako any an-tsekoly", "handeha hody aho", "tsara ny lalao baolina", "firy taona ianao"),
            ("tiako ny alika", "misy orana ve any", "iza no mihira", "mihinana mofo ny zanako", "aiza ny baolina",
             "tiako ny tantara"),
            "Miala tsiny, tsy azoko izany."),
        Wordings(
            ("qui est le président", "quel temps fait-il", "il pleut aujourd'hui", "il fait beau", "mes enfants mangent", "j'aime la musique", "chantez une chanson",
             "où est le chien", "racontez une histoire", "que mange-t-on aujourd'hui", "mes enfants sont à l'école",
             "quel âge avez-vous", "je rentre à la maison"),
            ("j'aime le chien", "il fait quel temps aujourd'hui", "mes enfants mangent du riz", "chantez la musique",
             "où est l'école"),
            "Désolé, je n'ai pas compris."),
        1.6),
    Intent(
        "goodbye",
        Wordings(
            ("veloma", "veloma tompoko", "misaotra veloma", "mandra-pihaona", "veloma mandra-pihaona", "izay ihany misaotra",
             "izay ihany veloma", "veloma milo", "misaotra betsaka veloma"),
            ("misaotra tompoko veloma", "izay ihany misaotra veloma", "veloma daholo", "misaotra anao veloma"),
            "Misaotra tamin'ny antso. Veloma tompoko. [hangup]", framed=False),
        Wordings(
            ("au revoir", "au revoir merci", "merci au revoir", "bonne journée", "au revoir bonne journée", "c'est tout merci",
             "au revoir milo", "à bientôt"),
            ("merci beaucoup au revoir", "c'est tout au revoir", "bonne journée au revoir", "au revoir à bientôt"),
            "Merci de votre appel. Au revoir. [hangup]", framed=False),
        1.5),
)
