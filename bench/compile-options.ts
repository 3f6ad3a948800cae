/** For `model.compile`, on both sides of a comparison. */
export const compileOptions = {
  optimizer: 'adam',
  loss: 'sparseCategoricalCrossentropy',
  metrics: ['accuracy'],
};
