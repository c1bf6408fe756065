// The picture that is on the screen, as a file on this machine.

import { toInputs } from "../words/times";

/** For file systems: no signs that any of them refuses. */
export function fileName(name: string, utcUs: number, ending: string): string {
  const { date, time } = toInputs(utcUs);
  const plain = name.replace(/[\\/:*?"<>|\u0000-\u001f]+/g, " ").trim() || "camera";
  return `${plain} ${date} ${time.replaceAll(":", ".")}.${ending}`;
}

export async function saveSnapshot(video: HTMLVideoElement, name: string, utcUs: number): Promise<void> {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  if (!canvas.width) return;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName(name, utcUs, "png");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
