"use strict";
(() => {
  const LEVELS = 65535;
  const MARGIN = { left: 46, right: 10, top: 10, bottom: 40 };
  const HOLD = { noise: 700, data: 1600 }; // milliseconds at either end

  // 16-bit levels, little-endian in base64 -> positions in the window, 0 to 1 on each axis.
  function unpack(film, window_) {
    const bytes = Uint8Array.from(atob(film.states), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    const places = new Float32Array(bytes.length / 2);
    for (let i = 0; i < places.length; i++) {
      const axis = i % 2;
      const span = window_.high[axis] - window_.low[axis];
      const value = (film.low[axis] - window_.low[axis]) / span;
      places[i] = value + (view.getUint16(2 * i, true) / LEVELS) * ((film.high[axis] - film.low[axis]) / span);
    }
    return { ...film, places };
  }

  // The two frames around time t, and how far t is from the first to the second.
  function around(film, t) {
    const { times } = film;
    const rising = times[times.length - 1] >= times[0];
    let after = times.findIndex((time) => (rising ? time >= t : time <= t));
    if (after < 0) after = times.length - 1;
    const before = Math.max(after - 1, 0);
    const gap = times[after] - times[before];
    return { before, after, fraction: gap ? Math.min(Math.max((t - times[before]) / gap, 0), 1) : 1 };
  }

  function palette(element) {
    const style = getComputedStyle(element);
    const read = (name) => style.getPropertyValue("--" + name).trim();
    return { rule: read("rule"), muted: read("muted"), forward: read("data"), reverse: read("generated"), edge: read("edge") };
  }

  function dot(colour, radius, ratio, edge) {
    const size = Math.ceil(2 * (radius + 1) * ratio);
    const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
    const pen = canvas.getContext("2d");
    pen.fillStyle = colour;
    pen.arc(size / 2, size / 2, radius * ratio, 0, 2 * Math.PI);
    pen.fill();
    if (edge) {
      pen.strokeStyle = edge;
      pen.lineWidth = 0.6 * ratio;
      pen.stroke();
    }
    return canvas;
  }

  function drawAxes(pen, box, show, colours) {
    pen.font = "11px system-ui, sans-serif";
    pen.strokeStyle = colours.rule;
    pen.fillStyle = colours.muted;
    pen.lineWidth = 1;
    const fraction = (axis, value) => (value - show.window.low[axis]) / (show.window.high[axis] - show.window.low[axis]);
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const [value, text] of show.ticks[0]) {
      const x = box.x + fraction(0, value) * box.size;
      pen.fillText(text, x, box.y + box.size + 6);
      pen.beginPath();
      pen.moveTo(x, box.y + box.size);
      pen.lineTo(x, box.y + box.size + 3);
      pen.stroke();
    }
    pen.fillText(show.columns[0], box.x + box.size / 2, box.y + box.size + 23);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const [value, text] of show.ticks[1]) {
      const y = box.y + (1 - fraction(1, value)) * box.size;
      pen.fillText(text, box.x - 6, y);
      pen.beginPath();
      pen.moveTo(box.x - 3, y);
      pen.lineTo(box.x, y);
      pen.stroke();
    }
    pen.save();
    pen.translate(10, box.y + box.size / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText(show.columns[1], 0, 0);
    pen.restore();
    pen.strokeRect(box.x, box.y, box.size, box.size);
  }

  function drawFilm(canvas, film, show, t) {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const box = { x: MARGIN.left, y: MARGIN.top, size: width - MARGIN.left - MARGIN.right };
    const height = box.size + MARGIN.top + MARGIN.bottom;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const colours = palette(canvas);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    drawAxes(pen, box, show, colours);

    const radius = film.points > 600 ? 1.6 : 2.4;
    const stamp = dot(colours[film.name], radius, ratio, colours.edge);
    const side = stamp.width / ratio;
    const { before, after, fraction } = around(film, t);
    const step = 2 * film.points;
    pen.globalAlpha = 0.72;
    for (let i = 0; i < step; i += 2) {
      const x = (1 - fraction) * film.places[before * step + i] + fraction * film.places[after * step + i];
      const y = (1 - fraction) * film.places[before * step + i + 1] + fraction * film.places[after * step + i + 1];
      if (x < 0 || x > 1 || y < 0 || y > 1) continue;
      pen.drawImage(stamp, box.x + x * box.size - side / 2, box.y + (1 - y) * box.size - side / 2, side, side);
    }
    pen.globalAlpha = 1;
  }

  function player(root) {
    const show = JSON.parse(document.getElementById(root.dataset.films).textContent);
    const films = show.films.map((film) => unpack(film, show.window));
    const canvases = [...root.querySelectorAll("canvas")];
    const slider = root.querySelector("input");
    const button = root.querySelector("button");
    const caption = root.querySelector("output");
    const ends = films.flatMap((film) => film.times);
    const [first, last] = [Math.min(...ends), Math.max(...ends)];
    const frames = Math.max(...films.map((film) => film.times.length));
    const step = (last - first) / Math.max(frames - 1, 1);
    const forward = films.some((film) => film.name === "forward");
    const reverse = films.some((film) => film.name === "reverse");

    let t = forward ? first : last;
    let direction = forward ? 1 : -1;
    let playing = false;
    let seen = false; // is it on the screen?
    let resumeAt = 0;
    let drawnAt = 0;
    let request = 0;

    // The film of each screen; one screen for both shows the one that runs in the present direction.
    function showing() {
      return show.one_screen ? [films[direction > 0 ? 0 : 1]] : films;
    }

    function describe() {
      const film = showing()[0];
      const { before, after, fraction } = around(film, t);
      const frame = fraction > 0.5 ? after : before;
      const words = ["t = " + t.toFixed(2), "noise level σ/α = " + film.noise[frame]];
      if (film.scale) words.push("drawn at × " + film.scale[frame]);
      return words.join("  ·  ");
    }

    function draw() {
      showing().forEach((film, i) => drawFilm(canvases[i], film, show, t));
      slider.value = String(Math.round((1000 * (t - first)) / (last - first || 1)));
      caption.textContent = describe();
      slider.setAttribute("aria-valuetext", caption.textContent);
    }

    function turn(now) {
      if (direction > 0) {
        resumeAt = now + HOLD.noise;
        if (reverse) direction = -1;
      } else {
        resumeAt = now + HOLD.data;
        if (forward) direction = 1;
      }
    }

    function tick(now) {
      if (!playing || !seen) return;
      const elapsed = Math.min(now - drawnAt, 100);
      drawnAt = now;
      if (now >= resumeAt) {
        if (direction > 0 && t >= last) reverse ? (direction = -1) : (t = first);
        else if (direction < 0 && t <= first) forward ? (direction = 1) : (t = last);
        t = Math.min(Math.max(t + (direction * step * show.frames_a_second * elapsed) / 1000, first), last);
        draw();
        if (t === (direction > 0 ? last : first)) turn(now);
      }
      request = requestAnimationFrame(tick);
    }

    function play(on) {
      playing = on;
      root.classList.toggle("playing", on);
      button.setAttribute("aria-label", on ? "Pause" : "Play");
      drawnAt = performance.now();
      resumeAt = 0;
      cancelAnimationFrame(request);
      if (on) request = requestAnimationFrame(tick);
    }

    function go(to) {
      play(false);
      t = Math.min(Math.max(to, first), last);
      draw();
    }

    const keys = {
      ArrowRight: () => go(t + step), ArrowUp: () => go(t + step),
      ArrowLeft: () => go(t - step), ArrowDown: () => go(t - step),
      PageUp: () => go(t + 5 * step), PageDown: () => go(t - 5 * step),
      Home: () => go(first), End: () => go(last),
      " ": () => play(!playing),
    };
    root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
    // The space bar has been dealt with above; a button would click once more when it comes up.
    button.addEventListener("keyup", (event) => { if (event.key === " ") event.preventDefault(); });
    button.addEventListener("click", () => play(!playing));
    slider.addEventListener("input", () => go(first + (Number(slider.value) / 1000) * (last - first)));
    canvases.forEach((canvas) => canvas.addEventListener("click", () => {
      slider.focus({ preventScroll: true });
      play(!playing);
    }));

    root.hidden = false;
    new ResizeObserver(draw).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    let waiting = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    new IntersectionObserver(([entry]) => {
      seen = entry.isIntersecting;
      if (seen && (playing || waiting)) play(true);
      if (seen) waiting = false;
    }, { threshold: 0.3 }).observe(root);
  }

  document.querySelectorAll(".player").forEach(player);

  // A link to folded text unfolds it.
  function unfold() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) target.open = true;
  }
  addEventListener("hashchange", unfold);
  unfold();

  document.querySelectorAll("[data-copy]").forEach((button) => {
    const source = document.getElementById(button.dataset.copy);
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { button.textContent = label; }, 1800);
    });
  });
})();
