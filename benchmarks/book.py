"""A made-up notebook of any length with what real ones do: it loads, cleans, rebinds, changes, draws and fits."""

from __future__ import annotations

__all__ = ["book"]

OPENING = [
    "import json\nimport os\nfrom collections import Counter, defaultdict\nfrom pathlib import Path",
    "import matplotlib.pyplot as plt\nimport numpy as np\nimport pandas as pd",
    "from sklearn.linear_model import LinearRegression\nfrom sklearn.model_selection import train_test_split",
    "SEED = 0\nFOLDER = Path('data')\nCOLOURS = {'a': '#c33', 'b': '#36c', 'c': '#393'}\n"
    "rng = np.random.default_rng(SEED)",
    """def tidy(frame, drop=()):
    # What every part of the notebook does first.
    frame = frame.rename(columns=str.lower)
    for column in drop:
        if column in frame:
            del frame[column]
    return frame.dropna(how='all')


def score(model, inputs, targets):
    guess = model.predict(inputs)
    return float(np.sqrt(((guess - targets) ** 2).mean()))""",
    """class Register:
    def __init__(self, title):
        self.title = title
        self.rows = []

    def add(self, name, **figures):
        self.rows.append({'name': name, **figures})
        return self

    def frame(self):
        return pd.DataFrame(self.rows).set_index('name')


register = Register('models')""",
]

PART = [
    "raw_{n} = pd.read_csv(FOLDER / 'part-{n}.csv', parse_dates=['when'])\nraw_{n}.head()",
    "df = tidy(raw_{n}, drop=['comment', 'unused'])\nprint(df.shape, df.dtypes.to_dict())",
    "df['ratio'] = df['paid'] / df['price'].where(df['price'] > 0)\ndf.loc[df['ratio'] > 1, 'ratio'] = 1.0\n"
    "df.fillna({{'ratio': 0.5}}, inplace=True)",
    "by_month_{n} = (\n    df.assign(month=df['when'].dt.to_period('M'))\n    .groupby(['month', 'kind'])['paid']\n"
    "    .agg(['sum', 'mean', 'count'])\n    .reset_index()\n)\nby_month_{n}",
    "fig, ax = plt.subplots(figsize=(8, 3))\nfor kind, rows in by_month_{n}.groupby('kind'):\n"
    "    ax.plot(rows['month'].astype(str), rows['sum'], color=COLOURS.get(kind, '#777'), label=kind)\n"
    "ax.set_title(f'Part {n}: {{len(by_month_{n})}} rows')\nax.legend()\nplt.show()",
    "features_{n} = [c for c in df.columns if c not in ('when', 'kind', 'paid')]\n"
    "X, y = df[features_{n}].to_numpy(), df['paid'].to_numpy()\n"
    "X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=SEED)",
    "def weigh_{n}(row, power=2):\n    base = row['price'] ** power\n"
    "    return base / (1 + SEED) if row['kind'] in COLOURS else base\n\n\nweights_{n} = df.apply(weigh_{n}, axis=1)",
    "model_{n} = LinearRegression()\nmodel_{n}.fit(X_train, y_train)\nerror_{n} = score(model_{n}, X_test, y_test)\n"
    "register.add('linear {n}', error=error_{n}, rows=len(X_train))",
    "noise = rng.normal(scale=error_{n}, size=len(y_test))\nbounds_{n} = []\nfor level in (0.5, 0.9, 0.99):\n"
    "    low, high = np.quantile(noise, [(1 - level) / 2, (1 + level) / 2])\n"
    "    bounds_{n}.append((level, low, high))\nbounds_{n}",
    "counts_{n} = Counter(word for text in raw_{n}['comment'].astype(str) for word in text.lower().split())\n"
    "longest = defaultdict(int)\nfor word, times in counts_{n}.most_common(50):\n    if len(word) > 3:\n"
    "        longest[len(word)] = max(longest[len(word)], times)\nprint(dict(longest))",
    "try:\n    known = json.loads((FOLDER / 'known-{n}.json').read_text())\nexcept OSError as error:\n"
    "    known = {{}}\n    print('nothing known yet', error)\nknown.update(rows=len(df), error=round(error_{n}, 3))",
    "with open(f'report-{n}.json', 'w') as out:\n    json.dump({{**known, 'bounds': bounds_{n}}}, out, default=float)\n"
    "print(os.path.getsize('report-{n}.json'), 'bytes')",
]


def book(count: int) -> list[str]:
    """Return the sources of `count` cells."""
    cells = list(OPENING)
    part = 0
    while len(cells) < count:
        part += 1
        cells += [cell.format(n=part) for cell in PART]
    return cells[:count]
