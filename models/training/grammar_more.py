"""More wordings: what training hears beside grammar_wordings.py, and ten more intents.

Malagasy wordings are the office's own made longer or shorter, and set phrases with a source (models/phrases/README.md).
The lines marked "wants a native reader" are the project's own and nobody who speaks Malagasy from birth has read them.
Held-out wordings of the older intents stay where they are; nothing here may say one (`python grammar.py` checks it).
"""

from __future__ import annotations

from grammar_wordings import Intent, Wordings

#: For training only, by intent and language.
ADDED = {
    "greeting": {
        "mg": ("manao ahoana e", "miarahaba anao tompoko", "salama tompoko manao ahoana", "tonga soa", "akory"),
        "fr": ("bonjour à tous", "allô bonjour milo", "bonjour bonjour", "rebonjour", "bonsoir à vous", "bonjour je vous appelle"),
    },
    "how_are_you": {
        "mg": ("manao ahoana ny vaovao", "salama ve", "tsara ve ny fahasalamanao", "ary ianao"),
        "fr": ("vous allez bien aujourd'hui", "comment ça va aujourd'hui", "et vous", "et vous ça va", "tout va bien"),
    },
    "caller_is_well": {
        "mg": ("salama aho", "tsy dia tsara", "tsara be misaotra"),
        "fr": ("très bien et vous", "pas très bien", "tout va bien merci", "ça va bien merci", "bien merci"),
    },
    "who_are_you": {
        "mg": ("iza no miantso", "iza ity miteny ity", "lazao ahy ny anaranao", "iza moa ny anaranao"),
        "fr": ("c'est qui", "qui est à l'appareil", "vous êtes qui donc", "c'est milo", "c'est bien milo", "à qui je parle",
               "dites-moi votre nom", "je parle à qui"),
    },
    "machine": {
        "mg": ("milina ianao", "tsy olona ve ianao", "tena olona ve ianao"),
        "fr": ("je parle à une machine", "est-ce que vous êtes un robot", "est-ce que vous êtes une machine",
               "c'est un robot", "vous êtes une machine", "est-ce que je parle à un robot"),
    },
    "capabilities": {
        "mg": ("afaka manampy ahy ve ianao", "te hahafantatra ny asanao aho", "mila ny fanampianao aho"),
        "fr": ("pouvez-vous m'aider", "vous pouvez m'aider", "j'ai besoin d'un renseignement", "je voudrais un renseignement",
               "qu'est-ce que vous pouvez faire", "dites-moi ce que vous savez faire", "vous savez faire quoi",
               "aidez-moi s'il vous plaît"),
    },
    "opening_hours": {
        "mg": ("firy ora no misokatra ny birao", "lazao ahy ny ora fisokafana", "misokatra amin'ny firy (ny birao|ianareo)",
               "mihidy amin'ny firy (ny birao|ianareo)", "ny ora fisokafana azafady"),
        "fr": ("vous ouvrez à quelle heure", "vous fermez à quelle heure", "jusqu'à quelle heure êtes-vous ouverts",
               "dites-moi à quelle heure vous ouvrez", "le bureau ouvre à quelle heure", "le bureau ferme à quelle heure",
               "quels sont les horaires", "je voudrais les horaires du bureau", "vos horaires s'il vous plaît",
               "quand est-ce que le bureau ouvre", "quand fermez-vous", "l'heure d'ouverture du bureau"),
    },
    "open_days": {
        "mg": ("andro inona ianareo no misokatra", "lazao ahy ny andro fisokafana", "misokatra isan'andro ve ny birao"),
        "fr": ("quels jours le bureau est-il ouvert", "vous ouvrez quels jours", "le bureau est ouvert tous les jours",
               "vous êtes ouverts quels jours", "dites-moi les jours d'ouverture", "est-ce que vous ouvrez tous les jours"),
    },
    "open_on_day": {
        "mg": ("misokatra ve ny birao amin'ny {weekday}", "ny {weekday} misokatra ve ianareo", "mihidy ve ny {weekday}"),
        "fr": ("et le {weekday} vous êtes ouverts", "êtes-vous ouverts {weekday}", "est-ce que vous êtes ouverts le {weekday}",
               "c'est ouvert le {weekday}", "le {weekday} c'est ouvert", "est-ce que vous fermez le {weekday}",
               "vous travaillez le {weekday}"),
    },
    "price": {
        "mg": ("ohatrinona moa ny {thing}", "ny vidin'ny {thing} azafady", "firy ny {thing} iray", "ny {thing} ohatrinona",
               "mila {thing} aho ohatrinona ny vidiny"),
        "fr": ("combien ça coûte {thing}", "{thing} s'il vous plaît c'est combien", "le prix {of_thing} s'il vous plaît",
               "dites-moi le prix {of_thing}", "quel prix pour {thing}", "ça coûte combien {thing}", "je veux acheter {thing}",
               "je voudrais savoir combien coûte {thing}", "à combien est {thing}", "quel est le tarif pour {thing}"),
    },
    "address": {
        "mg": ("aiza ny biraonareo", "ny adiresy azafady", "aiza no misy ny biraonareo", "lazao ahy hoe aiza ny birao"),
        "fr": ("où est-ce que vous êtes", "le bureau est où", "dites-moi où est le bureau", "votre adresse s'il vous plaît",
               "comment venir chez vous", "comment je fais pour venir", "dans quelle rue êtes-vous", "où se trouvent vos bureaux",
               "je cherche le bureau", "je voudrais connaître votre adresse"),
    },
    "office_phone": {
        "mg": ("ny laharan'ny birao azafady", "inona ny laharanareo", "mila ny laharan'ny birao aho"),
        "fr": ("le numéro du bureau s'il vous plaît", "c'est quoi votre numéro", "dites-moi votre numéro de téléphone",
               "je voudrais votre numéro de téléphone", "quel numéro dois-je appeler"),
    },
    "payment": {
        "mg": ("handoa amin'ny (finday|karatra) aho", "azoko atao ve ny mandoa amin'ny (finday|karatra)",
               "ahoana no handoavako ny vola"),
        "fr": ("est-ce que vous prenez la carte", "vous acceptez les cartes", "je voudrais payer par (carte|téléphone)",
               "on peut payer comment", "acceptez-vous la carte", "puis-je payer en espèces", "je peux payer comment",
               "est-ce que je peux payer en espèces"),
    },
    "appointment": {
        "mg": ("te haka fotoana amin'ny {hour} {day} aho", "fotoana {day} amin'ny {hour} azafady",
               "mila fotoana amin'ny {hour} aho {day}", "azoko atao ve {day} amin'ny {hour}"),
        "fr": ("je voudrais venir {day} à {hour}", "je peux venir {day} à {hour}", "est-ce que {day} à {hour} c'est possible",
               "je prends rendez-vous {day} à {hour}", "mettez-moi {day} à {hour}", "un rendez-vous à {hour} {day}",
               "j'aimerais un rendez-vous {day} à {hour}", "avez-vous une place {day} à {hour}",
               "je voudrais réserver {day} à {hour}"),
    },
    "appointment_day": {
        "mg": ("{day} azafady", "tiako {day}", "afaka {day} ve", "{day} no azoko atao", "te ho avy {day} aho"),
        "fr": ("{day} s'il vous plaît", "je préfère {day}", "{day} ça me va", "je voudrais venir {day}", "disons {day}",
               "est-ce possible {day}", "avez-vous une place {day}", "pour {day}", "j'aimerais venir {day}"),
    },
    "appointment_hour": {
        "mg": ("{hour} azafady", "tiako amin'ny {hour}", "amin'ny {hour} no azoko"),
        "fr": ("{hour} s'il vous plaît", "je préfère {hour}", "{hour} ça me va", "disons à {hour}", "vers {hour}",
               "je peux venir à {hour}", "à {hour} si possible"),
    },
    "appointment_start": {
        "mg": ("fotoana azafady", "te ho any amin'ny birao aho", "manome fotoana ve ianareo"),
        "fr": ("j'aimerais un rendez-vous", "c'est pour un rendez-vous", "je vous appelle pour un rendez-vous",
               "est-ce que je peux prendre rendez-vous", "est-ce possible d'avoir un rendez-vous", "je voudrais réserver",
               "il me faut un rendez-vous"),
    },
    "cancel": {
        "mg": ("foano azafady ny fotoanako", "tsy afaka ho avy aho", "tsy ho afaka aho {day}"),
        "fr": ("je dois annuler mon rendez-vous", "il faut annuler mon rendez-vous", "je ne viens pas {day}",
               "je ne viens pas finalement", "annulez tout", "c'est pour annuler un rendez-vous", "je ne serai pas là {day}",
               "pouvez-vous annuler mon rendez-vous {day}"),
    },
    "person": {
        "mg": ("i {name} azafady", "te hahita an'i {name} aho", "ao amin'ny birao ve i {name}", "antsoy i {name} azafady"),
        "fr": ("{name} s'il vous plaît", "je cherche {name}", "pouvez-vous me passer {name}", "vous pouvez me passer {name}",
               "est-ce que je peux parler à {name}", "je dois parler à {name}", "j'aimerais parler à {name}",
               "c'est pour {name}", "{name} est au bureau", "je rappelle {name}"),
    },
    "operator": {
        "mg": ("olona azafady", "tiako hiresaka amin'olona", "mpiasa azafady", "omeo mpiasa aho"),
        "fr": ("je voudrais une vraie personne", "passez-moi un employé", "un employé s'il vous plaît", "donnez-moi un employé",
               "je préfère parler à une personne", "pouvez-vous me passer quelqu'un", "il y a quelqu'un",
               "je veux une personne pas une machine"),
    },
    "my_name": {
        "mg": ("{name} izaho", "i {name} no eto", "izaho no {name}", "ny anarako {name}"),
        "fr": ("c'est {name} à l'appareil", "je m'appelle {name} et vous", "moi je m'appelle {name}", "bonjour c'est {name}",
               "mon nom {name}", "vous parlez à {name}", "je suis madame {name}", "je suis monsieur {name}"),
    },
    "my_number": {
        "mg": ("{phone} ny laharako", "raiso ny laharako {phone}", "antsoy azafady {phone}"),
        "fr": ("le {phone}", "voici mon numéro {phone}", "c'est le {phone}", "vous pouvez me rappeler au {phone}",
               "mon numéro {phone}", "appelez le {phone}"),
    },
    "code": {
        "mg": ("{digits} ny kaodiko", "ny kaody {digits}", "{digits} no kaody"),
        "fr": ("c'est le code {digits}", "mon code {digits}", "ma commande {digits}", "c'est la commande {digits}",
               "le numéro c'est {digits}", "j'ai le code {digits}"),
    },
    "order": {
        "mg": ("ny entako azafady", "tsy azoko ny entako", "mitady ny entako aho", "rahoviana ny entako"),
        "fr": ("elle est où ma commande", "je cherche ma commande", "quand est-ce que ma commande arrive",
               "j'appelle pour ma commande", "j'attends toujours ma commande", "ma commande s'il vous plaît",
               "est-ce que vous avez ma commande", "ma commande n'est pas là"),
    },
    "pay_amount": {
        "mg": ("{amount} ariary no halefako", "{amount} ariary no haloako", "mandoa {amount} ariary aho",
               "{amount} ariary ny volako"),
        "fr": ("je paie {amount} ariary", "j'envoie {amount} ariary", "je dois payer {amount} ariary", "voici {amount} ariary",
               "je vais payer {amount} ariary", "{amount} ariary", "ça fait {amount} ariary",
               "j'ai déjà payé {amount} ariary"),
    },
    "number": {
        "mg": ("lazao {number}", "ny isa dia {number}", "{number} no isa"),
        "fr": ("le numéro {number}", "c'est {number}", "{number} s'il vous plaît", "je dis {number}", "comptez {number}"),
    },
    "repeat": {
        "mg": ("mba avereno azafady", "azonao averina ve", "tsy azoko tsara", "tsy mazava", "inona izany", "ahoana hoe"),
        "fr": ("répétez s'il vous plaît", "pouvez-vous répéter s'il vous plaît", "pardon", "je ne comprends pas", "comment ça",
               "qu'est-ce que vous avez dit", "vous avez dit quoi là", "ce n'est pas clair", "encore une fois"),
    },
    "yes": {
        "mg": ("eny eka", "eny misaotra", "ekena", "eny tsara", "eny azoko", "izay mihitsy", "tsara izany"),
        "fr": ("oui oui", "oui s'il vous plaît", "oui voilà", "voilà c'est ça", "c'est exact", "oui tout à fait", "c'est bon",
               "oui ça va", "c'est vrai", "oui monsieur", "oui madame", "d'accord merci"),
    },
    "no": {
        "mg": ("tsia azafady", "tsy tiako", "tsia tsy tiako", "tsy mila", "tsia tsy mila aho", "diso"),
        "fr": ("non non", "non pas ça", "non ce n'est pas vrai", "non je ne veux pas", "je ne veux pas", "non monsieur",
               "non madame", "ce n'est pas bon", "non c'est tout", "non je n'ai besoin de rien"),
    },
    "thanks": {
        "mg": ("misaotra e", "misaotra be", "misaotra mialoha", "eny misaotra betsaka"),
        "fr": ("merci infiniment", "merci à vous", "merci monsieur", "merci madame", "grand merci", "oui merci beaucoup",
               "merci pour tout", "merci de votre aide"),
    },
    "slower": {
        "mg": ("mitenena moramora", "moramora azafady", "miadana azafady"),
        "fr": ("parlez lentement", "parlez moins vite", "doucement", "plus doucement s'il vous plaît",
               "est-ce que vous pouvez parler moins vite", "c'est trop rapide"),
    },
    "louder": {
        "mg": ("mafimafy kokoa", "mafimafy azafady", "tsy henoko ny feonao"),
        "fr": ("plus fort s'il vous plaît", "je vous entends très peu", "je ne vous entends plus", "parlez un peu plus fort",
               "on ne vous entend pas", "est-ce que vous pouvez parler plus fort", "je n'entends plus rien"),
    },
    "switch_language": {
        "mg": ("frantsay azafady", "tsy mahay teny malagasy aho", "mahay frantsay ve ianao"),
        "fr": ("je ne parle pas français", "malgache s'il vous plaît", "on peut parler malgache", "je préfère le malgache",
               "est-ce qu'on peut parler en malgache", "pouvez-vous parler malgache"),
    },
    "wait": {
        "mg": ("andraso kely azafady", "mbola eto aho", "andraso aloha"),
        "fr": ("un moment", "un moment s'il vous plaît", "deux minutes", "attendez je cherche", "un instant je cherche",
               "attendez-moi", "une petite minute", "restez en ligne", "patientez un instant"),
    },
    "problem": {
        "mg": ("misy olana kely", "very ny volako", "tsy mety ny {thing}"),
        "fr": ("il y a un problème", "{thing} ne marche plus", "mon téléphone est cassé", "j'ai perdu mon argent",
               "j'ai perdu ma carte", "ça ne marche pas", "rien ne marche", "j'ai un petit problème", "{thing} est en panne"),
    },
    "goodbye": {
        "mg": ("veloma e", "misaotra mandra-pihaona", "mandra-pihaona rahampitso", "eny veloma", "hita indray"),
        "fr": ("à demain", "bonne soirée", "bonne nuit", "au revoir milo et merci", "merci à bientôt", "au revoir madame",
               "au revoir monsieur", "à la prochaine", "allez au revoir", "d'accord au revoir"),
    },
}

NEW_INTENTS = (
    Intent(
        "time_now",
        Wordings(
            ("amin'ny firy izao", "firy ora izao", "amin'ny firy ora izao", "lazao ahy ny ora izao"),
            ("amin'ny firy ora moa izao", "omeo ahy ny ora izao"),
            "Miala tsiny, tsy fantatro ny ora izao."),  # wants a native reader
        Wordings(
            ("quelle heure est-il", "vous avez l'heure", "il est quelle heure", "dites-moi l'heure", "quelle heure avez-vous"),
            ("donnez-moi l'heure", "il est quelle heure donc", "avez-vous l'heure"),
            "Désolé, je ne connais pas l'heure."), 0.8),
    Intent(
        "emergency",
        Wordings(
            ("vonjeo", "antsoy ny (polisy|dokotera)", "mila dokotera aho", "misy afo", "voaroba aho", "marary aho",
             "mila fanafody aho", "antsoy ny polisy azafady"),
            ("vonjeo marary aho", "mila polisy aho", "misy afo vonjeo"),
            "Ampitaiko amin'ny mpiasa ianao izao. Andraso kely."),  # wants a native reader
        Wordings(
            ("au secours", "à l'aide", "appelez la police", "appelez un médecin", "j'ai besoin d'un médecin", "il y a le feu",
             "on m'a volé", "je suis malade", "j'ai besoin d'un médicament", "c'est une urgence", "c'est urgent"),
            ("au secours appelez la police", "j'ai besoin de la police", "c'est urgent je suis malade"),
            "Je vous passe un employé tout de suite. Ne quittez pas."), 0.8),
    Intent(
        "callback",
        Wordings(
            ("antsoy indray aho {day}", "mba antsoy indray aho {day}", "antsoy aho {day} azafady"),
            ("{day} antsoy indray aho", "antsoy indray {day} aho"),
            "Eny, hiantso anao izahay {day}."),  # wants a native reader
        Wordings(
            ("rappelez-moi {day}", "pouvez-vous me rappeler {day}", "vous pouvez me rappeler {day}", "appelez-moi {day}",
             "je voudrais être rappelé {day}"),
            ("{day} rappelez-moi", "est-ce que vous pouvez me rappeler {day}"),
            "Oui, nous vous rappelons {day}."), 1.0),
    Intent(
        "move_appointment",
        Wordings(  # all of it wants a native reader
            ("te hanova ny fotoanako aho {day}", "ovay {day} ny fotoanako", "te hanova fotoana {day} aho"),
            ("ovay ny fotoanako {day}", "te hanova ny fotoana {day} aho"),
            "Voaova ny fotoanao, {day}. Amin'ny firy no tianao?"),
        Wordings(
            ("je voudrais déplacer mon rendez-vous {day}", "changez mon rendez-vous pour {day}",
             "je veux changer mon rendez-vous pour {day}", "déplacez mon rendez-vous {day}",
             "pouvez-vous déplacer mon rendez-vous {day}"),
            ("je veux déplacer mon rendez-vous {day}", "je voudrais changer mon rendez-vous pour {day}"),
            "Votre rendez-vous est déplacé, {day}. À quelle heure ?"), 1.2),
    Intent(
        "english",
        Wordings(
            ("miteny anglisy ve ianao", "mahay miteny anglisy ve ianao", "te hiteny anglisy aho", "amin'ny teny anglisy"),
            ("mahay anglisy ve ianao", "teny anglisy azafady"),
            "Miala tsiny, malagasy sy frantsay ihany no fantatro."),  # wants a native reader
        Wordings(
            ("parlez-vous anglais", "vous parlez anglais", "je voudrais parler anglais", "est-ce que vous parlez anglais"),
            ("parlez anglais s'il vous plaît", "je veux parler anglais", "pouvez-vous parler anglais"),
            "Désolé, je ne parle que le malgache et le français."), 0.6),
    Intent(
        "too_dear",
        Wordings(
            ("lafo loatra", "lafo be izany", "lafo loatra izany", "lafo ny {thing}", "lafo be ny {thing}"),
            ("lafo be", "lafo loatra ny {thing}"),
            "Miala tsiny, izay no vidiny."),  # wants a native reader
        Wordings(
            ("c'est trop cher", "c'est très cher", "c'est cher", "{thing} est trop cher", "c'est cher pour {thing}"),
            ("c'est trop cher pour {thing}", "{thing} c'est cher"),
            "Je suis désolé, c'est le prix."), 0.8),
    Intent(
        "wrong_number",
        Wordings(
            ("diso laharana", "diso laharana aho", "miala tsiny diso laharana"),
            ("diso laharana aho miala tsiny", "diso ny laharana"),
            "Tsy maninona. Veloma tompoko. [hangup]", framed=False),
        Wordings(
            ("c'est un faux numéro", "je me suis trompé de numéro", "pardon je me suis trompé", "ce n'est pas le bon numéro"),
            ("excusez-moi c'est un faux numéro", "je me suis trompé"),
            "Ce n'est rien. Au revoir. [hangup]", framed=False), 0.7),
    Intent(
        "in_stock",
        Wordings(
            ("misy {thing} ve", "misy {thing} ve ao aminareo", "mbola misy {thing} ve", "mivarotra {thing} ve ianareo"),
            ("misy {thing} ve ny birao", "{thing} ve misy"),
            "Eny, misy {thing}. {price} ariary ny iray."),  # wants a native reader
        Wordings(
            ("avez-vous {thing}", "est-ce que vous avez {thing}", "vous vendez {thing}", "il y a {thing}",
             "est-ce que vous vendez {thing}"),
            ("vous avez {thing}", "je cherche {thing}"),
            "Oui, nous avons {thing}, à {price} ariary."), 1.2),
    Intent(
        "delivery",
        Wordings(  # all of it wants a native reader
            ("mandefa entana any {town} ve ianareo", "mandefa any {town} ve ianareo", "azo alefa any {town} ve ny entako",
             "alefaso any {town} ny entako"),
            ("any {town} ve ianareo mandefa entana", "alefaso any {town} azafady ny entako"),
            "Eny, mandefa any {town} izahay."),
        Wordings(
            ("livrez-vous à {town}", "est-ce que vous livrez à {town}", "vous livrez à {town}",
             "est-ce possible de livrer à {town}", "pouvez-vous envoyer ma commande à {town}", "envoyez ma commande à {town}"),
            ("je voudrais ma commande à {town}", "pouvez-vous livrer à {town}"),
            "Oui, nous livrons à {town}."), 1.2),
    Intent(
        "hurry",
        Wordings(
            ("maika aho", "maika aho azafady", "haingana azafady", "haingana kely azafady"),
            ("maika be aho", "haingana fa maika aho"),
            "Eny tompoko, hataoko haingana."),  # wants a native reader
        Wordings(
            ("je suis pressé", "vite s'il vous plaît", "faites vite", "dépêchez-vous", "je n'ai pas le temps"),
            ("je suis très pressé", "vite je suis pressé"),
            "Oui, je fais vite."), 0.6),
)
