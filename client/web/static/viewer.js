// The pictures of one scan, drawn by NiiVue: image below, one overlay at a time above it.

import { Niivue, NVImage, SLICE_TYPE } from "/static/shared/vendor/niivue.js";
import { fetched } from "./fetched.js";

const LAYOUTS = {
  axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL,
  planes: SLICE_TYPE.MULTIPLANAR, volume: SLICE_TYPE.RENDER,
};
// Parts of the stage: left, top, width, height. Axial slices are read most, and no part stays empty.
const PLANES = [
  { sliceType: SLICE_TYPE.AXIAL, position: [0, 0, 0.598, 1] },
  { sliceType: SLICE_TYPE.CORONAL, position: [0.602, 0, 0.398, 0.498] },
  { sliceType: SLICE_TYPE.SAGITTAL, position: [0.602, 0.502, 0.398, 0.498] },
];
const ALONG = { axial: [0, 0, 1], coronal: [0, 1, 0], sagittal: [1, 0, 0], planes: [0, 0, 1], volume: [0, 0, 1] };
const INFERNO = { R: [0, 87, 152, 224, 250, 252], G: [0, 16, 45, 86, 155, 244], B: [0, 110, 128, 72, 62, 160], A: [0, 160, 190, 220, 240, 255], I: [0, 1, 54, 121, 188, 255] };
const FOR = { R: [230, 230], G: [159, 159], B: [0, 0], A: [0, 255], I: [0, 255] };
const AGAINST = { R: [0, 0], G: [114, 114], B: [178, 178], A: [0, 255], I: [0, 255] };

const read = (name, buffer, options) => NVImage.loadFromUrl({ url: `${name}.nii`, name: `${name}.nii`, buffer, ...options });

// Lit surfaces are not drawn here, and without a GPU their gradients take a third of the time: whatever NiiVue
// draws with these two shaders ends before it reaches a pixel.
function leaveOutGradients(nv) {
  const { gl } = nv;
  const refresh = nv.refreshLayers.bind(nv);
  nv.blurShader = nv.sobelFirstOrderShader = { uniforms: {}, use: () => gl.enable(gl.RASTERIZER_DISCARD) };
  nv.refreshLayers = (...of) => {
    try {
      refresh(...of);
    } finally {
      gl.disable(gl.RASTERIZER_DISCARD);
    }
  };
}

export class Viewer {
  #nv; #told; #image; #overlays = {}; #shown = "none"; #opacity = 0.6; #layout = "planes";

  // `told` is what the page says of the scan: addresses of volumes, classes, findings.
  constructor(told, onPlace) {
    this.#told = told;
    this.#nv = new Niivue({
      isRadiologicalConvention: true, dragAndDropEnabled: false, loadingText: "", logLevel: "error",
      backColor: [0, 0, 0, 1], crosshairColor: [0.34, 0.71, 0.91, 0.8], crosshairWidth: 0.8, crosshairWidthUnit: "percent",
      show3Dcrosshair: true, fontColor: [1, 1, 1, 1], viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
      isColorbar: false, fontSizeScaling: 0.5, fontMinPx: 16, sliceType: SLICE_TYPE.MULTIPLANAR,
    });
    this.#nv.customLayout = PLANES;
    this.#nv.onLocationChange = (place) => onPlace(place, this.#sliceOf(place.mm));
  }

  // Draws the image and one overlay, both of which are on their way.
  async open(canvas, overlay, volumes) {
    await this.#nv.attachToCanvas(canvas);
    leaveOutGradients(this.#nv);
    const [image, above] = await volumes;
    this.#image = await read("image", image, { colormap: "gray" });
    if (above) this.#overlays[overlay] = await this.#prepared(overlay, above);
    this.#shown = overlay;
    this.#draw();
    if (this.#told.findings.length) this.find(this.#told.findings[0].number);
    const gl = this.#nv.gl;
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); // waits until all is drawn
  }

  // Another channel takes the place of the image; place, overlay and layout stay.
  async channel(number) {
    this.#image = await read("image", await fetched(`${this.#told.image}?channel=${number}`), { colormap: "gray" });
    this.#draw();
  }

  get isCt() {
    return this.#image.global_min <= -200;
  }

  window(preset) {
    const image = this.#image;
    const [centre, width] = preset.split("/").map(Number);
    if (preset === "robust") [image.cal_min, image.cal_max] = [image.robust_min, image.robust_max];
    else if (preset === "whole") [image.cal_min, image.cal_max] = [image.global_min, image.global_max];
    else [image.cal_min, image.cal_max] = [centre - width / 2, centre + width / 2];
    this.#refresh(image);
  }

  layout(name) {
    this.#layout = name;
    this.#nv.customLayout = name === "planes" ? PLANES : [];
    this.#nv.setSliceType(LAYOUTS[name]);
  }

  async overlay(kind) {
    this.#shown = kind;
    if (kind !== "none" && !(kind in this.#overlays)) {
      this.#overlays[kind] = await this.#prepared(kind, await fetched(this.#told.overlays[kind]));
    }
    if (this.#nv.volumes.length < 2) this.#draw();
    else this.#lay();
  }

  opacity(share) {
    this.#opacity = share;
    this.#lay();
  }

  step(count) {
    this.#nv.moveCrosshairInVox(...ALONG[this.#layout].map((along) => along * count));
  }

  find(number) {
    const finding = this.#told.findings.find((one) => one.number === number);
    if (!finding) return false;
    this.#nv.scene.crosshairPos = this.#nv.mm2frac(finding.mm, 0, true); // true to the scanner where the scan is oblique
    this.#nv.createOnLocationChange();
    this.#nv.drawScene();
    return true;
  }

  reset() {
    this.#nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
    this.#nv.scene.volScaleMultiplier = 1;
    this.#nv.scene.renderAzimuth = 110;
    this.#nv.scene.renderElevation = 10;
    this.#nv.drawScene();
  }

  // Frees volumes and the GPU's memory: a browser keeps only so many contexts alive.
  close() {
    const gl = this.#nv.gl;
    this.#nv.cleanup();
    this.#nv.volumes = [];
    this.#overlays = {};
    gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }

  // Gives image and overlay to the GPU in one go: each of them takes a while without one.
  #draw() {
    const above = this.#overlays[this.#shown];
    if (above) above.opacity = this.#opacity;
    this.#nv.volumes = above ? [this.#image, above] : [this.#image];
    this.#nv.back = this.#image;
    this.#nv.overlays = this.#nv.volumes.slice(1);
    this.#nv.updateGLVolume();
  }

  // Lays the overlay that is shown over the image, which stays as it is on the GPU.
  #lay() {
    if (this.#nv.volumes.length < 2) return;
    const above = this.#overlays[this.#shown] ?? this.#nv.volumes[1];
    above.opacity = this.#shown === "none" ? 0 : this.#opacity;
    this.#nv.volumes = [this.#image, above];
    this.#nv.overlays = [above];
    this.#refresh(above);
  }

  #refresh(image) {
    this.#nv.refreshLayers(image, this.#nv.volumes.indexOf(image));
    this.#nv.drawScene();
  }

  async #prepared(kind, buffer) {
    const image = await read(kind, buffer, this.#look(kind));
    if (kind === "mask") image.setColormapLabel(this.#classes());
    if (kind === "attribution") {
      const most = Math.max(Math.abs(image.global_min), Math.abs(image.global_max)) || 1;
      Object.assign(image, { cal_min: 0.02 * most, cal_max: 0.5 * most, cal_minNeg: -0.02 * most, cal_maxNeg: -0.5 * most });
    }
    return image;
  }

  #look(kind) {
    if (kind === "probability") {
      this.#nv.addColormap("probability", INFERNO);
      return { colormap: "probability", cal_min: 5, cal_max: 100, trustCalMinMax: false };
    }
    if (kind === "attribution") {
      this.#nv.addColormap("for", FOR);
      this.#nv.addColormap("against", AGAINST);
      return { colormap: "for", colormapNegative: "against" };
    }
    return {};
  }

  #classes() {
    const colours = this.#told.classes.map(({ colour }) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
    const part = (index) => [0, ...colours.map((colour) => colour[index])];
    return {
      R: part(0), G: part(1), B: part(2), A: [0, ...colours.map(() => 255)],
      I: [0, ...colours.map((_, index) => index + 1)], labels: ["", ...this.#told.classes.map(({ name }) => name)],
    };
  }

  // Number of the axial slice as the scan's own files count it.
  #sliceOf(mm) {
    const row = this.#told.slice_row;
    return row ? Math.round(row[0] * mm[0] + row[1] * mm[1] + row[2] * mm[2] + row[3]) : null;
  }
}
