// The smaller build of hls.js comes without types of its own; what it has is typed as in the whole one.
declare module "hls.js/light" {
  export * from "hls.js";
  export { default } from "hls.js";
}
