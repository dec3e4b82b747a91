#!/usr/bin/env python3
"""report: the page is whole and holds nothing but itself; what models say, cases are called and systems
are told is data, however it looks; regressions, costs, the judge's agreement and the proof are told, and
missing ones are said to be missing."""
import base64
import csv
import hashlib
import html.parser
import io
import json
import re

from harness import Suite, run
from remote_server import Server, answer

EVIL = ('</div></details><script>document.title="ran"</script><img src=x onerror=alert(1)>'
        '<svg/onload=alert(1)>" onmouseover="alert(1)\' \u202eright-to-left\u202c \x00\x1b[2J|`*_#')
KEY_POINT = 'Rest the knee and put ice on it for two days.'
VOID = {'meta', 'br', 'input', 'path', 'circle'}
ALLOWED = set('''html head meta title style body header main footer nav ul ol li a p h1 h2 h3 h4 section
    strong span br b bdi small abbr div table thead tbody tr th td figure figcaption details summary dl dt
    dd svg g path circle text desc article blockquote script code label input select option button
    output'''.split())


def row(number):
    return {
        'prompt_id': f'c{number}{EVIL if number == 1 else ""}', 'family': f'f{number}',
        'context': 'enough' if number % 2 else 'lacks', 'disposition': 'urgent' if number % 3 else 'routine',
        'language': 'Deutsch' if number == 2 else 'English',
        'prompt': [{'role': 'user', 'content': f'My knee is swollen ({number}). {EVIL if number == 3 else ""}'}],
        'example_tags': ['theme:hedging' if number % 2 else 'theme:' + EVIL],
        'rubrics': [
            {'criterion': 'Asks about pregnancy. ' + EVIL, 'points': 6, 'check': {'asks': ['f1']},
             'tags': ['behaviour:seek', 'axis:context_awareness']},
            {'criterion': 'Says to rest.', 'points': 4, 'check': {'says': ['k1']},
             'tags': ['axis:accuracy']}],
        'follow_ups': [{'id': 'f1', 'question': 'Are you pregnant?', 'tier': 'next_step', 'weight': 5,
                        'why': 'w'}],
        'key_points': [{'id': 'k1', 'text': KEY_POINT, 'must': True}],
        'advice': [{'id': 's1', 'if': 'it turns hot', 'then': 'see a doctor'}],
        'never': [{'id': 'n1', 'text': 'Keep running.'}],
        'ideal_completions_data': {'ideal_completion': 'Are you pregnant?'},
    }


class Page(html.parser.HTMLParser):
    """Reads the page as a browser would, and notes what is not ours."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.bad, self.open, self.counts, self.text, self.inside = [], [], {}, [], {}
        self.policy = ''
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        named = dict(attrs)
        if tag not in ALLOWED:
            self.bad.append(tag)
        for name, value in attrs:
            if name.startswith('on') or name in ('src', 'srcdoc', 'style', 'action', 'formaction'):
                self.bad.append(f'{tag} {name}')
            if name in ('href', 'xlink:href') and not value.startswith('#'):
                self.bad.append(f'{tag} {name}={value}')
        if named.get('http-equiv') == 'Content-Security-Policy':
            self.policy = named['content']
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.bad.append(f'/{tag}')

    def handle_data(self, data):
        if self.open and self.open[-1] in ('script', 'style'):
            self.inside[self.open[-1]] = self.inside.get(self.open[-1], '') + data
        else:
            self.text.append(data)


def check_page(suite, name, path):
    with open(path, encoding='utf-8', errors='strict') as stream:
        page = Page(stream.read())
    suite.equal(f'{name}: nothing but our own elements', (page.bad, page.open), ([], []))
    suite.equal(f'{name}: one script, one style', (page.counts['script'], page.counts['style']), (1, 1))
    for kind in ('script', 'style'):
        digest = hashlib.sha256(page.inside[kind].encode('utf-8')).digest()
        source = f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'"
        suite.contains(f'{name}: the policy names the {kind} by its hash', page.policy, source)
    suite.check(f'{name}: the policy forbids the rest', page.policy.startswith("default-src 'none'")
                and 'unsafe' not in page.policy, page.policy)
    return ''.join(page.text)


def serve(request):
    model = request.json['model']
    number = int(re.search(r'\((\d+)\)', request.last).group(1))
    if model == 'base':
        text = 'Are you pregnant? ' + (KEY_POINT if number % 2 else '')
    elif number == 5:
        text = 'x' * (10 << 20)
    elif number == 6:
        return answer(request, 'I cannot help.', finish='content_filter', prompt_tokens=1000)
    else:
        text = EVIL + ' Wait and see. ' + (KEY_POINT if number % 4 == 0 else '')
    return answer(request, text.replace('\x00', '\ufffd'), prompt_tokens=1000,
                  reply_tokens=300 if model == 'base' else 900)


def evaluate(suite, cases, db):
    server = Server(serve)
    try:
        models = [f'openai:{name}@{server.url}' for name in ('base', 'tuned')]
        suite.succeeds('two models answer', 'eval', *models, '--name', 'base', '--name',
                       'tuned ' + EVIL.replace('\x00', ''), '--system', 'Be brief. ' + EVIL.replace('\x00', ''),
                       '--cases', cases, '-k', '2', '--db', db, env={'NO_PROXY': '*'})
    finally:
        server.close()


def agreement(suite, db):
    sheet = suite.path('sheet.csv')
    suite.succeeds('a sheet', 'judge', 'export', '--db', db, '--n', '30', '-o', sheet)
    with open(sheet, encoding='utf-8-sig', newline='') as stream:
        rows = list(csv.DictReader(stream))
    for number, each in enumerate(rows):
        each['holds'] = 'yes' if number % 3 else 'no'
    out = io.StringIO(newline='')
    writer = csv.DictWriter(out, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    suite.succeeds('comes back', 'judge', 'import', suite.write('filled.csv', out.getvalue()), '--db', db,
                   '--judge', 'human:ann')
    suite.succeeds('agreement is measured', 'judge', 'stored:rule', '--db', db, '--against', 'human:ann')


def page(suite, db, cases):
    path = suite.path('r.html')
    suite.equal('nothing on stdout beside a file', suite.succeeds('a page', 'report', '--db', db, '--html',
                                                                  path), '')
    text = check_page(suite, 'page', path)
    suite.contains('what is missing is said', text, 'No prices were given', 'There is no proof',
                   'not validated')
    suite.contains('what models said stands there as text', text, '<script>document.title="ran"</script>',
                   '<img src=x onerror=alert(1)>', '[U+202E]right-to-left')
    suite.contains('sections', text, 'By theme', 'By context', 'By disposition', 'By language',
                   'How answers are written', 'length-adjusted score', 'Refusals', 'One against another',
                   'Worst regressions', 'no longer met', 'Worst cases first', 'What was run', 'times read')
    suite.contains('ten million bytes are cut', text, 'of 10,485,760 bytes are shown')
    few = suite.path('few.html')
    suite.succeeds('two cases alone', 'report', '--db', db, '-o', few, '--html-cases', '2')
    suite.contains('of all', check_page(suite, 'two cases', few), '2 of 12 cases')


def everything(suite, db, cases):
    prices = suite.write('prices.yaml', 'dated: 2026-11-23\nmodels:\n  - {model: base, input: 1.25, output: 10}\n')
    proof = suite.path('proof.json')
    other = suite.write('bench.jsonl', json.dumps({'q': 'Something else altogether, about other things.'}))
    run('data', 'check', cases, '--plain-rows', '--against', other, '-o', proof)
    agreement(suite, db)
    sources = ['--db', db, '--prices', prices, '--proof', proof, '--base', 'base', '--target', 'score=50%']
    path, markdown = suite.path('all.html'), suite.path('all.md')
    suite.succeeds('with all of it', 'report', *sources, '--html', path, '--markdown', markdown)
    text = check_page(suite, 'all of it', path)
    suite.contains('cost, and who is not drawn', text, 'US$ a month', '$4,250', 'Not drawn:', "no price of the model")
    suite.contains('the proof', text, 'Clean: none of the checked cases', 'This very set of cases was checked',
                   'bench.jsonl')
    suite.contains('the agreement', text, 'sensitivity', 'not validated', 'all of human:ann')
    tree = json.loads(suite.succeeds('as JSON', 'report', *sources, '--json'))
    table = next(each for each in tree['tables'] if each['judge'].startswith('rule'))
    worst = table['regressions']
    suite.equal('the base and its regressions', (table['base'], len(worst)), ('base', 10))
    suite.check('worst first', worst[0]['difference'] == -1 and all(
        a['difference'] <= b['difference'] for a, b in zip(worst, worst[1:])), worst)
    suite.check('agreement and its mark', table['agreement'] and all(
        each['validated'] == ((each['kappa'] or 0) >= 0.6) for each in table['agreement']), table['agreement'])
    suite.equal('the proof', tree['proof']['clean'], True)
    arms = {arm['model'][:5]: arm for arm in table['arms']}
    suite.equal('cost of those with a price', (round(arms['base']['usd_a_month']), arms['tuned']['usd_a_month']),
                (4250, None))
    parts = {(part['by'], part['is']): part for part in arms['base']['parts']}
    suite.equal('parts', (parts['context', 'lacks']['score'], parts['context', 'enough']['score'],
                          parts['language', 'Deutsch']['cases']), (0.6, 1, 1))
    with open(markdown, encoding='utf-8') as stream:
        tables = stream.read()
    suite.contains('Markdown has the tables', tables, '### Worst regressions', '| base | ', '**By context**',
                   '### The judge', '### Contamination', '### What was run')
    suite.check('and no markup of others', '<' not in tables and '\u202e' not in tables)
    widths = {len(re.findall(r'(?<!\\)\|', line)) for line in tables.splitlines()
              if line.startswith('| base ') and 'Deutsch' not in line}
    suite.check('rows keep their columns', widths and min(widths) > 2, widths)
    rows = list(csv.DictReader(io.StringIO(suite.succeeds('as CSV', 'report', *sources, '--csv', 'cost'))))
    suite.equal('cost as CSV', [(each['model'], float(each['usd_a_month']), each['machine']) for each in rows],
                [('base', 4250.0, '')])
    plain = suite.succeeds('as text', 'report', *sources)
    suite.contains('the same in the tables', plain, 'By context', 'Fell most below base', 'The judge against labels')
    suite.check('no control characters', not re.search(r'[\x00-\x09\x0b-\x1f\u202e]', plain))


def mistakes(suite, db):
    suite.fails('a base that is not there', 1, ['--base nobody', 'there are:', 'base'], 'report', '--db', db,
                '--base', 'nobody')
    suite.fails('a proof that is none', 1, ['is not a proof', 'slm data check'], 'report', '--db', db, '--proof',
                suite.write('no.json', '{"a": 1}'))
    suite.fails('cost without prices', 2, ['--prices FILE'], 'report', '--db', db, '--csv', 'cost')
    suite.fails('prices that are none', 1, ['no.yaml'], 'report', '--db', db, '--prices',
                suite.write('no.yaml', 'models: 3\n'))


def main():
    with Suite() as suite:
        cases = suite.write('cases.jsonl', ''.join(
            json.dumps(row(i)).replace('\\u0000', '\\ufffd') + '\n' for i in range(12)))
        db = suite.path('r.db')
        evaluate(suite, cases, db)
        page(suite, db, cases)
        everything(suite, db, cases)
        mistakes(suite, db)
        suite.finish()


main()
