// Draws the report from the JSON block of the page.
(function () {
  'use strict';
  const data = JSON.parse(document.getElementById('data').textContent);
  const css = (name) => 'var(--' + name + ')';
  const colours = [css('one'), css('two'), css('three'), css('bad')];
  const times = (x) => x == null ? '–' : d3.format(x < 10 ? '.2f' : '.1f')(x) + '×';
  const micro = (us) => us == null ? '–' : us >= 1e6 ? d3.format('.3~f')(us / 1e6) + ' s'
    : us >= 1e3 ? d3.format('.2f')(us / 1e3) + ' ms' : d3.format('.1f')(us) + ' µs';
  const clock = (s) => s >= 3600 ? Math.floor(s / 3600) + ' h ' + Math.round(s % 3600 / 60) + ' min'
    : s >= 120 ? Math.floor(s / 60) + ' min ' + Math.round(s % 60) + ' s' : d3.format('.3~r')(s) + ' s';
  const share = (x) => x == null ? '–' : d3.format('.0%')(x);

  const tip = d3.select('#tip');
  const hover = (selection, text) => selection
    .on('mousemove', function (d) {
      const e = d3.event;
      tip.text(text(d)).style('opacity', 1);
      const box = tip.node().getBoundingClientRect();
      tip.style('left', Math.max(4, Math.min(e.clientX + 14, innerWidth - box.width - 8)) + 'px')
        .style('top', Math.max(4, Math.min(e.clientY + 14, innerHeight - box.height - 8)) + 'px');
    })
    .on('mouseout', () => tip.style('opacity', 0));
  const canvas = (where, width, height) => d3.select(where).append('svg')
    .attr('viewBox', [0, 0, width, height].join(' ')).attr('width', width).attr('height', height);
  const empty = (where, text) => d3.select(where).append('p').attr('class', 'empty').text(text);
  const legend = (where, items) => {
    const item = d3.select(where).append('div').attr('class', 'legend').selectAll('span')
      .data(items).enter().append('span');
    item.append('i').style('background', (d) => d.colour).style('border', (d) => d.border || 'none');
    item.append('span').text((d) => d.text);
  };
  const grid = (g, axis) => g.attr('class', 'grid').call(axis.tickFormat(''));

  function summary() {
    const best = data.best, head = d3.select('#summary');
    const rate = best && best.speedup != null ? best.speedup : null;
    head.append('h1').text(data.op.name + (rate == null ? ': no verified kernel yet'
      : ': ' + times(rate) + ' the speed of ' + best.baseline));
    head.append('p').attr('class', 'sub').text(data.op.summary + ' Suite ' + data.suite + ' on ' + data.target
      + '; run ' + data.run + ', strategy ' + data.strategy + ', seed ' + data.seed + '.');
    const cards = [];
    if (best) {
      cards.push({ lead: true, value: times(best.speedup), text: 'against ' + best.baseline
        + (best.speedup_low ? ', 95 % interval ' + times(best.speedup_low) + ' to ' + times(best.speedup_high) : '') });
      if (data.over_default != null) cards.push({ value: times(data.over_default), text: 'against the best template default' });
      if (data.over_random != null) cards.push({ value: times(data.over_random), text: 'against random search, same budget' });
      if (best.sol_score != null) cards.push({ value: d3.format('.2f')(best.sol_score), text: 'roofline score: 0.5 is the baseline, 1 the machine’s measured limit' });
    }
    cards.push({ value: data.attempts.length, text: 'attempts, ' + data.valid + ' valid' });
    cards.push({ value: clock(data.seconds), text: 'of search' + (data.stop_reason ? '; ended by ' + data.stop_reason : '; not ended') });
    const card = head.append('div').attr('class', 'cards').selectAll('div').data(cards).enter()
      .append('div').attr('class', (d) => d.lead ? 'card lead' : 'card');
    card.append('b').text((d) => d.value);
    card.append('span').text((d) => d.text);
    d3.select('#contents').selectAll('a').data(Array.from(document.querySelectorAll('section'))).enter().append('a')
      .attr('href', (d) => '#' + d.id).text((d) => d.querySelector('h2').textContent);
  }

  // ---- best so far ----
  function curve() {
    const own = { name: data.strategy + ' (this run)', points: data.attempts, colour: css('main') };
    const all = [own].concat(data.compare.map((c, i) => ({ name: c.strategy, points: c.attempts, colour: colours[i % 4] })));
    const best = (s) => { let b = null; return s.points.map((p) => {
      if (p.valid && p.speedup != null && (b == null || p.speedup > b)) b = p.speedup; return { x: p, y: b }; }).filter((p) => p.y != null); };
    all.forEach((s) => { s.line = best(s); });
    if (!all.some((s) => s.line.length)) { empty('#curve', 'No attempt was valid, so there is no curve.'); return; }
    d3.select('#progress-hint').text('Speed against the frozen library baseline; each dot is one valid attempt' +
      (data.compare.length ? ', other strategies on the same budget beside it.' : '.'));
    const tabs = d3.select('#curve').append('div').attr('class', 'tabs');
    const holder = d3.select('#curve').append('div').node();
    const modes = [['attempts', (p) => p.n], ['seconds', (p) => p.at]];
    const draw = (mode) => {
      d3.select(holder).selectAll('*').remove();
      tabs.selectAll('button').attr('aria-pressed', (d) => String(d === mode));
      legend(holder, all.map((s) => ({ colour: s.colour, text: s.name + (s.line.length ? ', ' + times(s.line[s.line.length - 1].y) : ', nothing valid') })));
      const W = 1040, H = 340, m = { l: 54, r: 14, t: 10, b: 40 };
      const svg = canvas(holder, W, H);
      const x = d3.scaleLinear().domain([0, d3.max(all, (s) => d3.max(s.points, mode[1])) || 1]).range([m.l, W - m.r]);
      const top = d3.max(all, (s) => d3.max(s.line, (p) => p.y));
      const y = d3.scaleLinear().domain([0, Math.max(1, top) * 1.08]).nice().range([H - m.b, m.t]);
      grid(svg.append('g').attr('transform', 'translate(' + m.l + ',0)'), d3.axisLeft(y).ticks(6).tickSize(-(W - m.l - m.r)));
      svg.append('g').attr('transform', 'translate(0,' + (H - m.b) + ')').call(d3.axisBottom(x).ticks(10));
      svg.append('g').attr('transform', 'translate(' + m.l + ',0)').call(d3.axisLeft(y).ticks(6).tickFormat((d) => d + '×'));
      svg.append('text').attr('class', 'soft').attr('x', W - m.r).attr('y', H - 6).attr('text-anchor', 'end').text(mode[0]);
      svg.append('line').attr('x1', m.l).attr('x2', W - m.r).attr('y1', y(1)).attr('y2', y(1))
        .attr('stroke', css('soft')).attr('stroke-dasharray', '5 4');
      svg.append('text').attr('class', 'soft').attr('x', W - m.r).attr('y', y(1) - 5).attr('text-anchor', 'end').text('baseline');
      const step = d3.line().curve(d3.curveStepAfter).x((p) => x(mode[1](p.x))).y((p) => y(p.y));
      all.slice().reverse().forEach((s) => {
        const last = s.points.length ? s.points[s.points.length - 1] : null;
        const line = last && s.line.length ? s.line.concat([{ x: last, y: s.line[s.line.length - 1].y }]) : s.line;
        svg.append('path').datum(line).attr('fill', 'none').attr('stroke', s.colour)
          .attr('stroke-width', s === own ? 2.6 : 1.7).attr('d', step);
      });
      const dots = svg.append('g').selectAll('circle').data(own.points.filter((p) => p.valid && p.speedup != null)).enter().append('circle')
        .attr('cx', (p) => x(mode[1](p))).attr('cy', (p) => y(p.speedup)).attr('r', 3.2).attr('fill', css('main')).attr('fill-opacity', 0.5);
      hover(dots, (p) => '#' + p.n + '  ' + times(p.speedup) + ' (' + p.fidelity + ')\n' + p.label + '\nby ' + p.mutator);
    };
    tabs.selectAll('button').data(modes).enter().append('button').text((d) => 'by ' + d[0]).on('click', draw);
    draw(modes[0]);
  }

  function table(where, columns, rows) {
    const t = d3.select(where).append('table');
    t.append('thead').append('tr').selectAll('th').data(columns).enter().append('th').text((c) => c.title);
    const row = t.append('tbody').selectAll('tr').data(rows).enter().append('tr');
    columns.forEach((c) => {
      const cell = row.append('td').attr('class', (r) => c.style ? c.style(r) : null);
      if (c.bar) cell.append('i').style('width', (r) => Math.max(1, 100 * c.bar(r)) + '%');
      else cell.text(c.value);
    });
  }
  function workloads() {
    const rows = data.best ? data.best.workloads : [];
    if (!rows.length) { empty('#workloads', 'No verified kernel.'); return; }
    table('#workloads', [
      { title: 'workload', value: (r) => r.workload },
      { title: 'winner', value: (r) => micro(r.median_us) },
      { title: 'baseline', value: (r) => micro(r.baseline_us) },
      { title: 'speed-up', value: (r) => times(r.speedup), style: (r) => r.speedup < 1 ? 'loss' : null },
      { title: '95 % interval', value: (r) => times(r.speedup_low) + ' – ' + times(r.speedup_high) },
      { title: 'roofline floor', value: (r) => r.floor_us ? micro(r.floor_us) : '–' },
      { title: 'of the roofline', value: (r) => r.floor_us ? share(r.floor_us / r.median_us) : '–' },
    ], rows);
    const others = data.baselines.filter((b) => !b.chosen);
    if (others.length) {
      const more = d3.select('#workloads').append('details');
      more.append('summary').text('Baselines that were timed (' + data.baselines.length + ')');
      more.append('div').attr('id', 'baselines');
      table('#baselines', [
        { title: 'workload', value: (r) => r.workload }, { title: 'baseline', value: (r) => r.name },
        { title: 'median', value: (r) => micro(r.median_us) },
        { title: '', value: (r) => r.chosen ? 'the bar' : r.absent ? 'absent: ' + r.absent : r.refused ? 'refused: ' + r.refused
          : r.prepacked ? 'prepacked: reported apart' : '' }], data.baselines);
    }
  }

  // ---- tree ----
  const stateColour = { open: css('three'), active: css('one'), closed: css('main'), pruned: css('soft') };
  const nodesOf = (root) => root.descendants();
  function tree() {
    if (!data.tree.length) { empty('#tree-figure', 'This strategy keeps no tree.'); return; }
    const root = d3.stratify().id((d) => d.id).parentId((d) => d.parent || null)(data.tree)
      .sort((a, b) => d3.ascending(a.data.id, b.data.id));
    legend('#tree-figure', Object.keys(stateColour).map((s) => ({ colour: stateColour[s], text: s })));
    const column = 250;
    d3.tree().nodeSize([24, column])(root);
    // The root's column is short: its name is the page's title.
    nodesOf(root).forEach((d) => { d.y = Math.max(0, d.y - column + 90); });
    const nodes = nodesOf(root), lowest = d3.min(nodes, (d) => d.x), highest = d3.max(nodes, (d) => d.x);
    const W = Math.max(1040, column * root.height + 90 + 250), H = highest - lowest + 40;
    const svg = canvas('#tree-figure', W, H).append('g').attr('transform', 'translate(16,' + (20 - lowest) + ')');
    svg.selectAll('path').data(root.links()).enter().append('path').attr('fill', 'none').attr('stroke', css('line')).attr('stroke-width', 1.4)
      .attr('d', d3.linkHorizontal().x((d) => d.y).y((d) => d.x));
    const size = d3.scaleSqrt().domain([0, d3.max(data.tree, (d) => d.attempts) || 1]).range([3.2, 9.5]);
    const node = svg.selectAll('g').data(nodes).enter().append('g').attr('transform', (d) => 'translate(' + d.y + ',' + d.x + ')');
    node.append('circle').attr('r', (d) => size(d.data.attempts)).attr('fill', (d) => stateColour[d.data.state] || css('soft'))
      .attr('stroke', (d) => d.data.winner ? css('ink') : 'none').attr('stroke-width', 2.4);
    const short = (text, most) => text.length > most ? text.slice(0, most - 1) + '…' : text;
    const label = (d) => !d.parent ? 'all ideas' : short(d.data.title || d.data.kind, 26)
      + (d.data.best_speedup != null ? ' ' + times(d.data.best_speedup) : '');
    node.append('text').attr('x', 13).attr('y', 4).attr('paint-order', 'stroke').attr('stroke', css('paper')).attr('stroke-width', 4)
      .style('font-weight', (d) => d.data.winner ? 700 : 400).attr('class', (d) => d.data.state === 'pruned' ? 'soft' : null).text(label);
    hover(node, (d) => (d.data.title || d.data.kind) + '\n' + d.data.state + ', ' + d.data.attempts + ' attempts, ' + d.data.valid + ' valid'
      + (d.data.best_speedup != null ? ', best ' + times(d.data.best_speedup) : '') + (d.data.reason ? '\n' + d.data.reason : ''));
  }

  // ---- frontier ----
  function frontier() {
    if (!data.frontier.length) { empty('#frontier-figure', 'No axes.'); return; }
    const cells = [].concat.apply([], data.frontier.map((t) => [].concat.apply([], t.axes.map((a) => a.levels))));
    const rates = cells.map((c) => c.best_speedup).filter((v) => v != null);
    const scale = d3.scaleLinear().domain([d3.min(rates) || 0, d3.max(rates) || 1]).range([0.18, 1]);
    legend('#frontier-figure', [
      { colour: css('main'), text: 'best ' + times(d3.max(rates)) },
      { colour: css('main-soft'), text: 'worst tried level ' + times(d3.min(rates)) },
      { colour: css('untried'), text: 'untried' },
      { colour: css('del'), text: 'dead: tried, never valid or never close' },
      { colour: 'transparent', border: '1px dashed ' + css('soft'), text: 'infeasible' }]);
    data.frontier.forEach((t) => {
      const holder = d3.select('#frontier-figure').append('div');
      holder.append('h3').text(t.template + (t.attempts != null ? ' – ' + t.attempts + ' attempts' : ''));
      const wide = d3.max(t.axes, (a) => a.levels.length), left = 170, cell = Math.min(104, Math.floor(860 / wide)), high = 26;
      const svg = canvas(holder.append('div').attr('class', 'scroll').node(), left + wide * cell + 4, t.axes.length * high + 4);
      t.axes.forEach((a, i) => {
        svg.append('text').attr('x', left - 10).attr('y', i * high + 17).attr('text-anchor', 'end').text(a.axis);
        const g = svg.selectAll(null).data(a.levels).enter().append('g')
          .attr('transform', (d, j) => 'translate(' + (left + j * cell) + ',' + (i * high) + ')');
        g.append('rect').attr('width', cell - 3).attr('height', high - 3).attr('rx', 4)
          .attr('fill', (d) => d.state === 'infeasible' ? 'transparent' : d.state === 'dead' ? css('del')
            : d.best_speedup == null ? css('untried') : css('main'))
          .attr('fill-opacity', (d) => d.best_speedup != null && d.state !== 'dead' ? scale(d.best_speedup) : 1)
          .attr('stroke', (d) => d.winner ? css('ink') : d.state === 'infeasible' ? css('soft') : 'none')
          .attr('stroke-width', (d) => d.winner ? 2 : 1)
          .attr('stroke-dasharray', (d) => d.state === 'infeasible' ? '3 3' : null);
        g.append('text').attr('x', (cell - 3) / 2).attr('y', 16).attr('text-anchor', 'middle')
          .attr('class', (d) => d.state === 'infeasible' || d.state === 'untried' ? 'soft' : null)
          .style('fill', (d) => d.best_speedup != null && d.state !== 'dead' && scale(d.best_speedup) > 0.6 ? css('paper') : null)
          .style('font-weight', (d) => d.winner ? 700 : 400)
          .text((d) => { const s = String(d.level); return s.length * 7 > cell - 8 ? s.slice(0, Math.max(2, Math.floor((cell - 14) / 7))) + '…' : s; });
        hover(g, (d) => a.axis + ' = ' + d.level + ' (' + a.kind + ')\n' + d.state + ': ' + d.attempts + ' attempts, ' + d.valid + ' valid'
          + (d.best_speedup != null ? '\nbest ' + times(d.best_speedup) : '') + (d.winner ? '\nthe winner’s choice' : ''));
      });
    });
  }

  function rejections() {
    const rows = data.rejected;
    if (!rows.length) { empty('#rejections', 'Nothing was refused.'); return; }
    const W = 1040, left = 170, high = 28, x = d3.scaleLinear().domain([0, d3.max(rows, (r) => r.count)]).range([0, W - left - 60]);
    const svg = canvas('#rejections', W, rows.length * high + 4);
    const g = svg.selectAll('g').data(rows).enter().append('g').attr('transform', (d, i) => 'translate(0,' + i * high + ')');
    g.append('text').attr('x', left - 10).attr('y', 18).attr('text-anchor', 'end').text((d) => d.failure.replace(/_/g, ' '));
    g.append('rect').attr('x', left).attr('y', 4).attr('height', high - 9).attr('rx', 3).attr('width', (d) => Math.max(2, x(d.count))).attr('fill', css('one'));
    g.append('text').attr('x', (d) => left + x(d.count) + 8).attr('y', 18).text((d) => d.count);
    hover(g, (d) => d.failure + ' at gate ' + d.gates + '\n' + d.example);
  }

  // ---- world model ----
  function scatter() {
    const points = data.attempts.filter((p) => p.valid && p.log_cost != null && p.predicted != null && p.spread > 0);
    if (points.length < 3) { empty('#scatter', 'Too few predictions were made before a measurement.'); return; }
    const m = data.model;
    d3.select('#model-hint').text('Each prediction was logged before its measurement (' + points.length + ' of them). Rank correlation '
      + d3.format('.2f')(m.rank_correlation) + '; ' + share(m.inside_95) + ' of results lie inside the predicted 95 % interval, '
      + share(m.inside_80) + ' inside the 80 % one, ' + share(m.inside_50) + ' inside the 50 % one.');
    const rate = (logCost) => Math.exp(-logCost);
    const W = 640, H = 440, b = { l: 58, r: 14, t: 10, b: 46 };
    const values = [].concat.apply([], points.map((p) => [rate(p.log_cost), rate(p.predicted)]));
    const domain = [d3.min(values) / 1.1, d3.max(values) * 1.1];
    const x = d3.scaleLog().domain(domain).range([b.l, W - b.r]), y = d3.scaleLog().domain(domain).range([H - b.b, b.t]);
    const f = d3.format('.3~r'), spread = Math.log(domain[1] / domain[0]);
    const ticks = d3.range(6).map((i) => Number(d3.format('.2~r')(domain[0] * Math.exp(spread * (i + 0.5) / 6))));
    const svg = canvas('#scatter', W, H);
    svg.append('g').attr('transform', 'translate(0,' + (H - b.b) + ')').call(d3.axisBottom(x).tickValues(ticks).tickFormat((v) => f(v) + '×'));
    svg.append('g').attr('transform', 'translate(' + b.l + ',0)').call(d3.axisLeft(y).tickValues(ticks).tickFormat((v) => f(v) + '×'));
    svg.append('text').attr('class', 'soft').attr('x', W - b.r).attr('y', H - 8).attr('text-anchor', 'end').text('measured speed-up');
    svg.append('text').attr('class', 'soft').attr('transform', 'translate(14,' + b.t + ') rotate(-90)').attr('text-anchor', 'end').text('predicted speed-up');
    svg.append('line').attr('x1', x(domain[0])).attr('y1', y(domain[0])).attr('x2', x(domain[1])).attr('y2', y(domain[1]))
      .attr('stroke', css('soft')).attr('stroke-dasharray', '5 4');
    const clip = (v) => Math.min(domain[1], Math.max(domain[0], v));
    svg.append('g').selectAll('line').data(points).enter().append('line').attr('stroke', css('main')).attr('stroke-opacity', 0.25)
      .attr('x1', (p) => x(rate(p.log_cost))).attr('x2', (p) => x(rate(p.log_cost)))
      .attr('y1', (p) => y(clip(rate(p.predicted + p.spread)))).attr('y2', (p) => y(clip(rate(p.predicted - p.spread))));
    hover(svg.append('g').selectAll('circle').data(points).enter().append('circle').attr('r', 3.6).attr('fill', css('main')).attr('fill-opacity', 0.75)
      .attr('cx', (p) => x(rate(p.log_cost))).attr('cy', (p) => y(rate(p.predicted))),
      (p) => '#' + p.n + ' ' + p.label + '\npredicted ' + times(rate(p.predicted)) + ', measured ' + times(rate(p.log_cost)));
  }

  function ledger() {
    if (!data.mutators.length) { empty('#ledger', 'This strategy uses no mutators.'); return; }
    const most = d3.max(data.mutators, (m) => m.gain) || 1;
    table('#ledger', [
      { title: 'mutator', value: (m) => m.name.replace(/_/g, ' ') }, { title: 'tried', value: (m) => m.tried },
      { title: 'valid', value: (m) => m.valid }, { title: 'improved', value: (m) => m.improved },
      { title: 'gain, summed', value: (m) => d3.format('.2f')(Math.exp(m.gain)) + '×' },
      { title: '', bar: (m) => Math.max(0, m.gain) / most, style: () => 'bar' },
      { title: 'seconds', value: (m) => d3.format('.1f')(m.seconds) }], data.mutators);
  }

  function pareto() {
    if (!data.pareto.length) { empty('#pareto', 'No valid candidate.'); return; }
    table('#pareto', [
      { title: 'candidate', value: (p) => '#' + p.candidate + ' ' + p.label }, { title: 'class', value: (p) => p.precision },
      { title: 'speed-up', value: (p) => d3.format('.3f')(p.speedup) + '×' },
      { title: 'error', value: (p) => d3.format('.2e')(p.error) },
      { title: 'of its limit', value: (p) => d3.format('.1%')(p.of_limit) }], data.pareto);
  }

  function source() {
    const s = data.source;
    if (!s) { empty('#source-hint', 'No verified kernel.'); d3.select('#code').remove(); return; }
    d3.select('#source-hint').text(s.label + (s.seed_label ? '. Compared with ' + s.seed_label + '.' : '.'));
    const pre = d3.select('#code');
    const views = [['diff from the seed', (all) => condensed(all)], ['whole source', (all) => all.filter((l) => l.kind !== '-').map((l) => ({ kind: ' ', text: l.text }))],
      ['launch plan', () => s.plan.split('\n').map((t) => ({ kind: ' ', text: t }))]];
    const show = (view) => {
      d3.select('#source-tabs').selectAll('button').attr('aria-pressed', (d) => String(d === view));
      pre.selectAll('*').remove();
      pre.selectAll('span').data(view[1](s.diff)).enter().append('span')
        .attr('class', (l) => l.kind === '+' ? 'add' : l.kind === '-' ? 'del' : l.kind === '~' ? 'skip' : null)
        .text((l) => (view === views[0] ? l.kind.replace('~', ' ') + ' ' : '') + (l.text || ' '));
    };
    d3.select('#source-tabs').selectAll('button').data(views).enter().append('button').text((d) => d[0]).on('click', show);
    show(views[0]);
  }
  // Unchanged stretches longer than 8 lines are folded to 3 at each side.
  function condensed(lines) {
    if (!lines.some((l) => l.kind !== ' ')) return [{ kind: '~', text: 'The winner is the seed itself; nothing differs.' }];
    const near = lines.map(() => false);
    lines.forEach((l, i) => { if (l.kind !== ' ') for (let j = Math.max(0, i - 3); j <= Math.min(lines.length - 1, i + 3); ++j) near[j] = true; });
    const out = []; let hidden = 0;
    const flush = () => { if (hidden) out.push({ kind: '~', text: '… ' + hidden + ' unchanged lines' }); hidden = 0; };
    lines.forEach((l, i) => { if (near[i]) { flush(); out.push(l); } else ++hidden; });
    flush();
    return out;
  }

  function check() {
    const where = d3.select('#check');
    const facts = where.append('dl');
    const fact = (name, value, code) => { if (value == null || value === '') return; facts.append('dt').text(name);
      (code ? facts.append('dd').append('code') : facts.append('dd')).text(value); };
    fact('same decisions', data.replay_command, true);
    fact('same claims', data.replay_command + ' --measure', true);
    fact('run', data.run); fact('op digest', data.op.digest); fact('winner', data.best ? 'candidate ' + data.best.candidate + ', ' + data.best.label : null);
    fact('precision class', data.best ? data.best.precision : null);
    fact('error', data.best && data.best.error != null ? d3.format('.3f')(data.best.error) + ' of the permitted limit' : null);
    fact('checked', data.best ? 'every gate up to ' + data.best.gate : null);
    fact('on the device', data.best ? data.best.device : null);
    [['Environment', data.environment], ['Configuration', data.config], ['Evidence of the winner', data.evidence]].forEach((item) => {
      if (!item[1]) return;
      const d = where.append('details');
      d.append('summary').text(item[0]);
      d.append('pre').attr('class', 'plain').text(JSON.stringify(item[1], null, 2));
    });
  }

  [summary, curve, workloads, tree, frontier, rejections, scatter, pareto, ledger, source, check].forEach((part) => part());
  document.documentElement.setAttribute('data-drawn', 'yes');
})();
